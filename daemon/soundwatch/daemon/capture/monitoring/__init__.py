"""Supervision of a live source: faults of its sound, its clock, lost samples, and its reopening.

Never: know a kind of source.
"""

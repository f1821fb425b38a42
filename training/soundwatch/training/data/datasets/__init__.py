"""Data sets: which recordings they have, with their classes, and the splits that keep a recording on one side.

Never: compute features.
"""

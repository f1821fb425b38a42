"""Evaluation on streets: scenes, their audio, found targets and false events, and the report.

Never: choose thresholds.
"""

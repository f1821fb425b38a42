"""Evaluation on single recordings: the open set, and clips under degraded conditions.

Never: choose thresholds.
"""

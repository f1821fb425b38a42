"""Scores of held-out clips, metrics on them, and thresholds from them.

Never: train.
"""

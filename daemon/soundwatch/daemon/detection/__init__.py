"""Scores to events: thresholds, hysteresis, confirmation, calibration.

Never: read a clock or a file; time is counted in samples.
"""

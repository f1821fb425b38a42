"""Scores to events: thresholds, hysteresis, confirmation, calibration.

Conventions: time is counted in samples. Only `calibration` reads a file.
Never: read a clock.
"""

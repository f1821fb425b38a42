"""The training loop, metrics, thresholds and the record of a run.

Never: choose on what is reported.
"""

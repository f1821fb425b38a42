"""A run from its setup to a finished folder, and the mean of finished runs.

Never: choose on what is reported.
"""

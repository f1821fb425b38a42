"""Checks of a data set before training.

Never: change a file of the data set.
"""

"""Runs over folds and seeds, in sequence or on Ray.

Never: train itself; it calls `fit`.
"""

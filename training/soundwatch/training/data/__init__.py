"""Recordings and labels: UrbanSound8K, class folders, negatives, cache, batches, checks.

Never: know networks.
"""

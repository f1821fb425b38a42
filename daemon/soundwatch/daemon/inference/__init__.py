"""Classifiers: open a model file, run it on a provider, return scores.

Never: apply thresholds, or import torch unless the TorchScript backend was asked for.
"""

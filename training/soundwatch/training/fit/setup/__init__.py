"""Inputs of a run: recipe, split and device, the place of its clips, and its processes.

Never: train.
"""

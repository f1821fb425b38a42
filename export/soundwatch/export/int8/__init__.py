"""Quantization of a network to 8-bit integers, and its comparison with the network.

Never: train.
"""

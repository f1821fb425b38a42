"""Composition root: builds the daemon from its configuration, reloads and stops it.

Never: contain signal processing.
"""

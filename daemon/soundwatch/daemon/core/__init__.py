"""Vocabulary of every package: records, errors, model contract, clock, channels.

Never: read audio, or import another package of soundwatch.
"""

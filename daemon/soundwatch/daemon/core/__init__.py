"""Vocabulary of every package: records, errors, configuration, model contract, clock, channels.

Never: read audio, write files, or import another package of soundwatch.
"""

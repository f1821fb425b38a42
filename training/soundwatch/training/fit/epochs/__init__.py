"""The training loop, with its progress for people.

Never: write a file.
"""

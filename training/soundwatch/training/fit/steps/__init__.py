"""One training step: its examples, the trained layers, the loss, and a batch that fits the memory.

Never: read command lines or write files.
"""

"""File descriptors of other programs and libraries: sizes of pipes, waits, and the messages on standard error.

Never: interpret sound.
"""

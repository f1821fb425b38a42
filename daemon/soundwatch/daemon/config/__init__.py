"""Configuration: its keys, the reader of its file with messages about faults, and changes of the file in place.

Conventions: `config.py` has the types with their defaults; each larger section has a file of its own.
Never: open what is configured, or apply a change to a running daemon.
"""

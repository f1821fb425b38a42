"""The live view on a terminal: `sink` owns the thread and the keys, `render` turns the state into text.

Conventions: `rich` is imported here and nowhere else in the daemon.
Never: run where standard output is no terminal.
"""

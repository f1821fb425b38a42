"""The live view on a terminal: `sink` has the threads and reads the keys, `render` turns the state into text.

Conventions: `rich` is imported only here and in `fleet`.
Never: run without a terminal as standard output.
"""

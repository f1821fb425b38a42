"""The live view on a terminal: `sink` has the threads and reads the keys, `render` turns the state into text.

Conventions: `rich` draws it; the package is imported only where a terminal shows something.
Never: run without a terminal as standard output.
"""

"""The live view that `soundwatch run` shows on a terminal.

    view (the sink, its thread, the keys) -> picture (what is seen, as text)

Conventions: `rich` is imported here and nowhere else in the daemon, so that a daemon without a terminal has none of it.
"""

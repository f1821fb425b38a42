"""A second model on a share of windows, compared with the first; promotion and rollback.

Conventions: the engine hands windows over without waiting; `runner` does the rest in its own thread.
Never: change events, or be imported without `shadow.file`.
"""

"""A shadow model on a share of the windows, compared with the active model; promotion and rollback.

Conventions: the engine submits windows without waiting; `runner` classifies and compares them in its own thread.
Never: change events.
"""

"""Reports of a run: figures, its log, and callbacks.

Never: change the run.
"""

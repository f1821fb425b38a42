"""Evaluation on clips, streets, open sets and degraded conditions, with the daemon's own decision.

Never: change a model.
"""

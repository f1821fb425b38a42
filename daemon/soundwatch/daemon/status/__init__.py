"""Current state of the daemon, folded from its lines, and the live scores for subscribers.

Never: change what it reports.
"""

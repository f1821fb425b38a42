"""Current state of the daemon, folded from its lines, and live scores for those who watch.

Never: change what it reports.
"""

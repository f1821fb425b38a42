"""Models that take samples instead of features, for programs without soundwatch.

Never: differ from the daemon's front end by more than the verified tolerance.
"""

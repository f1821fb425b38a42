"""Events that a model finds in sound: detection in memory, stored scores, and the matching of events.

Never: decide by other rules than the daemon's.
"""

"""The durable event log in SQLite: append, query, follow, label. All SQL of the daemon lives here.

Never: deliver lines to a destination; sinks read from it.
"""

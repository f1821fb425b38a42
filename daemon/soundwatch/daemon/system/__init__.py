"""The operating system: systemd, journald, logging, signals.

Never: import sources, models or sinks.
"""

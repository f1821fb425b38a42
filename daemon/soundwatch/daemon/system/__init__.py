"""The operating system: systemd, journald, logging, signals.

Never: know what the daemon listens to.
"""

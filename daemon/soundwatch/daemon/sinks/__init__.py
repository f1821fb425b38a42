"""Destinations of lines: files, sockets, webhooks, commands, MQTT, the terminal.

Conventions: each destination reads the journal at its own pace.
Never: slow the engine down, or end the daemon.
"""

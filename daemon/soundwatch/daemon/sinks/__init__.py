"""Destinations of lines: files, sockets, webhooks, commands, MQTT; each read from the journal at its own pace.

Never: slow the engine down, or end the daemon.
"""

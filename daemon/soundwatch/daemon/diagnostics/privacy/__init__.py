"""The data that soundwatch stores and sends: from the configuration, from existing files, and from a running process.

Never: send or delete data.
"""

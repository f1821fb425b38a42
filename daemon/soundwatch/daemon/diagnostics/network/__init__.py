"""Hosts of a configuration, their reach, and the service's filter of addresses for them.

Never: connect to a host.
"""

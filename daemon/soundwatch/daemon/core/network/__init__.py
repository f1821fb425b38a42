"""Addresses, connections and their certificates: loopback, redaction, pauses between attempts, failures of TLS.

Never: connect.
"""

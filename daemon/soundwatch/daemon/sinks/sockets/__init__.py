"""Lines to every client of a listening socket of this machine or of a port.

Never: keep lines for absent clients.
"""

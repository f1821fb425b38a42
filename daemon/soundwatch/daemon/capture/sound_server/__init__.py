"""PulseAudio and PipeWire over their native protocol: address, connection, list of sources, and the source itself.

Never: start a sound server.
"""

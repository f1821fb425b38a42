"""The signal path of one source, as pure functions: front end, inference, detection.

Never: start a thread or open a device.
"""

"""Microphones of this machine: the list of all inputs, and a capture process for each PortAudio device.

Never: import the inference runtime.
"""

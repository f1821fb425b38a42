"""PortAudio: its calls, its devices and their names, and the microphone as a source.

Never: start another process, except to list devices.
"""

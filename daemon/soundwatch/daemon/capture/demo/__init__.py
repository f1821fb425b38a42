"""Sound without a microphone: the demo scene and the sample recording.

Never: read a device or a file of the user.
"""

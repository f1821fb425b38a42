"""Short recordings of events, written only where a folder was configured.

    ring_buffer -> recorder -> writer -> speech_guard -> clip_store

Never: be imported without a configured folder, or write audio that the speech guard rejects.
"""

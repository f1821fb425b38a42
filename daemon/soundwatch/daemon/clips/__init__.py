"""Short recordings of events, written only where a folder was configured.

    ring_buffer -> recorder -> writer -> speech_guard -> clip_store, picture

Never: write audio without a configured folder, or audio that the speech guard rejects.
"""

"""What a page shows while it happens: the streams, the last minute, the spectrogram and live sound.

Never: keep the engine waiting for a slow client.
"""

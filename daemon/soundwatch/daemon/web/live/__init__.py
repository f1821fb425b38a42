"""Live parts of the page: streams, the last minute, the spectrogram and live sound.

Never: keep the engine waiting for a slow client.
"""

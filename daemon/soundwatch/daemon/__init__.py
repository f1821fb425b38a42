"""The runtime: a microphone's sounds as events. Imports nothing of the other rooms, and never torch."""

__version__ = "0.1.0"

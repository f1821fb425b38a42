"""Synthesized sounds: ambience, babble, speech.

Never: replace recordings in reported figures.
"""

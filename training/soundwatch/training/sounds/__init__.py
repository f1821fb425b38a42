"""Synthesized sounds: ambience, babble, speech.

Never: stand for recordings in reported figures.
"""

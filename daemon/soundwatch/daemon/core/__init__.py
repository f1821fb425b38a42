"""Vocabulary and facts that every other package may import."""

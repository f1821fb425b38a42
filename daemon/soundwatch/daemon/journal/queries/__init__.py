"""Queries for lines and events of a journal, and the changes that people ask for: labels and deletions.

Never: number lines.
"""

"""Recordings as samples in memory and in files.

Never: know a label.
"""

"""Clocks, times as text, and the time zone of the system.

Never: wait.
"""

"""Checks of an installation, part by part, as `soundwatch doctor` prints them.

Never: change anything on the machine.
"""

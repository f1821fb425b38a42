"""Checks of an installation: doctor, privacy audit, benchmark.

Never: repair or change anything.
"""

"""Doctor, privacy audit, benchmark: checks of an installation.

Never: repair or change anything.
"""

"""Backup of a machine's data in one archive, and its restoration.

Never: write outside the files that the user or the restored configuration names.
"""

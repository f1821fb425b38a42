"""The languages of texts for people, and their catalogues.

Never: translate the log, lines or the command line.
"""

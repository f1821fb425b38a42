"""The running program: its log, its memory, a request to stop it, its optional packages, usage reporting of libraries.

Never: start a process or write the log.
"""

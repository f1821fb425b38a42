"""The commands of training, one module each.

Conventions: progress and warnings go to stderr, results to stdout. An error of `soundwatch.daemon.core.errors` ends the
program with its exit code and one message.
Never: be imported by the daemon before one of these commands is called.
"""

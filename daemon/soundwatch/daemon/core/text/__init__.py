"""Text from and for the outside: what a terminal may show, what is not UTF-8, parts of messages, foreign JSON.

Never: print or log.
"""

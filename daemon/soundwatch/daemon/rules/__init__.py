"""Alert rules: decide which lines of the journal become messages, and deliver the messages.

Never: changes events, or delays detection or another sink.
"""

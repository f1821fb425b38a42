"""Alert rules: decide which lines of the journal become messages, and deliver the messages.

Never: change events, or delay detection or another sink.
"""

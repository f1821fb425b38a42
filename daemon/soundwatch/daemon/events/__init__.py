"""The wire format: line records, their schema, and the encoder that makes lines of events.

Never: decide, store or deliver.
"""

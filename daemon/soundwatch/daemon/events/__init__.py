"""The wire format: line records, their schema, and their encoder.

Never: decide, store or deliver.
"""

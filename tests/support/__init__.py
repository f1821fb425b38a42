"""Harnesses, factories and fakes that tests and benchmarks share.

Never: contain a test.
"""

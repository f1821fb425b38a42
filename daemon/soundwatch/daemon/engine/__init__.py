"""All live sources through one classifier: queues, batches, overload, emission of lines.

Never: choose sources, models or sinks.
"""

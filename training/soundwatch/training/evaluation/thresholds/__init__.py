"""Selection of thresholds and of the open-set share for a run, a fitted head and own classes.

Never: use sounds that the report counts.
"""

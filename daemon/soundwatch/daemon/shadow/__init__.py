"""A second model beside the one that listens: where they differ, and how the two change places.

Conventions: the engine's thread hands windows over and never waits for it; all the rest is a thread of its own
(`beside.py`). Nothing here is imported by a daemon without `shadow.file`.
"""

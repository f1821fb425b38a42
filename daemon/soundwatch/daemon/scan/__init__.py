"""Archives: recordings of any length to the events that `replay` would report.

    discover -> chunks -> worker (process_pool or ray_pool) -> score_cache -> emit

`job` runs the loop, and `app/scan.py` builds it.

Conventions: scores are cached on disk, so a scan can be resumed; `emit` runs detection in the order of the recordings.
Never: run live sources.
"""

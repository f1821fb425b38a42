"""The page, its API and streams, and Prometheus' metrics: one server for all of them, in a thread of its own.

Conventions: it reads the journal and what is heard by itself, each viewer at his own pace, and costs nothing while
nobody looks. It is asked for with `-F http://HOST:PORT`, or `--web`. Nothing of it is imported before.
Does not: write to the journal. What people say of events goes into the journal's file beside the lines (`Store.label`).
"""

from __future__ import annotations

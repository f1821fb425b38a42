"""The page, its API and streams, and Prometheus metrics: one server in its own thread.

Conventions: each viewer reads the journal and the live scores at its own pace; without viewers the page costs nothing.
Never: write lines to the journal, or be reachable beyond loopback without a token.
"""

from __future__ import annotations

"""The web page, its API and streams, and Prometheus metrics: one server in its own thread.

Conventions: each client reads the journal and the live scores at its own pace; without clients the server is idle.
`api` imports `live` and `http`, `live` imports `http`; `server.py` joins them.
Never: write lines to the journal, or accept clients of other machines without a token.
"""

from __future__ import annotations

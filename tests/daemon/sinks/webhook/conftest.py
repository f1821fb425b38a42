"""The receiver of webhooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.webhook_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()
    yield serving
    serving.close()

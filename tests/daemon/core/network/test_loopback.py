"""Addresses that only this machine can reach."""

from __future__ import annotations

import pytest

from soundwatch.daemon.core.network.loopback import is_loopback


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "LOCALHOST."]
)
def test_a_loopback_address_is_recognized(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "::ffff:192.168.1.1", "localhost.example.org", ""])  # noqa: S104
def test_an_address_that_others_can_reach_is_no_loopback_address(host: str) -> None:
    assert not is_loopback(host)

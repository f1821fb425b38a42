"""Pauses between attempts."""

from __future__ import annotations

from soundwatch.daemon.core.network.backoff import Backoff


def test_each_pause_is_twice_the_one_before_up_to_the_maximum() -> None:
    backoff = Backoff(0.25, 1.5)
    assert [backoff.next_s() for _ in range(5)] == [0.25, 0.5, 1.0, 1.5, 1.5]


def test_a_reset_starts_over_with_the_first_pause() -> None:
    backoff = Backoff(1, 8)
    backoff.next_s()
    backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 1

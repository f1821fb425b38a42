from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.capture.recordings.pacing import Pacer, due_ns


@given(st.integers(0, 2**62), st.integers(0, 10**9), st.integers(1_000, 384_000))
def test_a_moment_depends_on_the_samples_number_alone_so_nothing_drifts(start: int, seconds: int, rate_hz: int) -> None:
    assert due_ns(start, seconds * rate_hz, rate_hz) == start + seconds * 1_000_000_000


def test_fast_never_waits() -> None:
    assert Pacer("fast", 8_000).wait_for(10**12)


def test_real_time_waits_from_the_first_call_on() -> None:
    pacer = Pacer("real_time", 8_000)
    assert pacer.wait_for(0)
    start_ns = time.monotonic_ns()
    assert pacer.wait_for(400)
    assert time.monotonic_ns() - start_ns >= 49_000_000


def test_a_late_response_is_not_waited_for() -> None:
    pacer = Pacer("real_time", 8_000)
    pacer.wait_for(0)
    time.sleep(0.02)
    assert pacer.wait_for(80)


def test_stop_ends_the_wait_and_every_later_one() -> None:
    pacer = Pacer("real_time", 8_000)
    pacer.wait_for(0)
    threading.Timer(0.02, pacer.stop).start()
    assert not pacer.wait_for(8_000 * 1_000)
    pacer.stop()
    assert not pacer.wait_for(8_000 * 1_000)
    assert not pacer.wait_for(0)


def test_stop_before_the_start_ends_it() -> None:
    pacer = Pacer("fast", 8_000)
    pacer.stop()
    assert not pacer.wait_for(0)

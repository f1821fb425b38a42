"""Widening and narrowing of the hop, with simulated time."""

from __future__ import annotations

import pytest

from soundwatch.daemon.engine.inference_queue import (
    MAX_RECOVERY_NS,
    RECOVERY_NS,
    SETTLE_NS,
    LoadState,
    adapt_stride,
)

S_NS = 1_000_000_000
HOP_NS = S_NS


def after(state: LoadState, behind_ns: int, start_s: float, seconds: float, most: int = 4) -> LoadState:
    """Return the state after ten updates a second."""
    for tick in range(round(10 * seconds)):
        state = adapt_stride(state, behind_ns, round(start_s * S_NS) + tick * S_NS // 10, HOP_NS, most)
    return state


def test_a_machine_that_keeps_up_classifies_every_window() -> None:
    assert after(LoadState(), HOP_NS - 1, 0, 3600).stride_windows == 1


def test_a_backlog_of_one_hop_widens_the_hop_once_and_again_only_later() -> None:
    state = adapt_stride(LoadState(), HOP_NS, 0, HOP_NS, 4)
    assert state.stride_windows == 2
    assert adapt_stride(state, 2 * HOP_NS, SETTLE_NS - 1, HOP_NS, 4).stride_windows == 2
    assert adapt_stride(state, 2 * HOP_NS - 1, SETTLE_NS, HOP_NS, 4).stride_windows == 2
    assert adapt_stride(state, 2 * HOP_NS, SETTLE_NS, HOP_NS, 4).stride_windows == 4


@pytest.mark.slow
def test_no_sound_is_passed_over_however_slow_the_machine() -> None:
    assert after(LoadState(), 60 * S_NS, 0, 3600, most=4).stride_windows == 4
    assert after(LoadState(), 60 * S_NS, 0, 3600, most=3).stride_windows == 2
    assert after(LoadState(), 60 * S_NS, 0, 3600, most=1).stride_windows == 1


def test_calm_narrows_the_hop_step_by_step() -> None:
    state = adapt_stride(adapt_stride(LoadState(), HOP_NS, 0, HOP_NS, 4), 2 * HOP_NS, SETTLE_NS, HOP_NS, 4)
    assert state.stride_windows == 4
    state = after(state, 0, 6, RECOVERY_NS / S_NS)
    assert state.stride_windows == 2
    assert after(state, 0, 16, RECOVERY_NS / S_NS).stride_windows == 1


def test_a_long_wait_of_a_window_restarts_the_recovery_period() -> None:
    state = adapt_stride(LoadState(), HOP_NS, 0, HOP_NS, 4)
    state = adapt_stride(state, HOP_NS, RECOVERY_NS - 1, HOP_NS, 4)  # half of the hop in force
    assert adapt_stride(state, 0, RECOVERY_NS, HOP_NS, 4).stride_windows == 2
    assert adapt_stride(state, 0, 2 * RECOVERY_NS - 1, HOP_NS, 4).stride_windows == 1


def test_the_delay_before_narrowing_grows_after_failures_and_is_reset_later() -> None:
    state, now_ns, waits_ns = LoadState(), 0, []
    for _ in range(10):
        state = adapt_stride(state, HOP_NS, now_ns, HOP_NS, 2)
        widened_ns = now_ns
        while state.stride_windows == 2:
            now_ns += S_NS
            state = adapt_stride(state, 0, now_ns, HOP_NS, 2)
        waits_ns.append(now_ns - widened_ns)
        now_ns += 2 * S_NS
    assert waits_ns[:4] == [RECOVERY_NS, 2 * RECOVERY_NS, 4 * RECOVERY_NS, 8 * RECOVERY_NS]
    assert max(waits_ns) == MAX_RECOVERY_NS
    assert adapt_stride(state, 0, now_ns + 2 * MAX_RECOVERY_NS, HOP_NS, 2).recovery_ns == RECOVERY_NS

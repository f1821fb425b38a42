"""How many windows to pass over when the machine cannot keep up with its sources, and when to take them up again.

Conventions: nanoseconds of a monotonic clock. `every` 1 classifies every window, 2 each second one, and so on by
doubling; the sound of a window that is passed over is in the next one, as long as the widened hop is no longer than
a window.
Rule: a whole hop behind, the hop is doubled, and again every five seconds until the backlog is gone. After ten
seconds in which nothing waited for half a hop it is halved. Where that was too early, the next try waits twice as long.
Does not: measure how long windows wait, or drop any (`engine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

SETTLE_NS: Final = 5_000_000_000
PATIENCE_NS: Final = 10_000_000_000
LONGEST_PATIENCE_NS: Final = 640_000_000_000


@dataclass(frozen=True, slots=True)
class LoadState:
    """How the machine has kept up so far.

    Attributes:
        every: Each so many-th window is classified.
        widened_ns: When the hop was widened last.
        narrowed_ns: When it was narrowed last.
        restless_ns: When a window had waited for half a hop last.
        patience_ns: How long it has to be calm before the hop is narrowed.
    """

    every: int = 1
    widened_ns: int = -SETTLE_NS
    narrowed_ns: int = -LONGEST_PATIENCE_NS
    restless_ns: int = -LONGEST_PATIENCE_NS
    patience_ns: int = PATIENCE_NS


def adapt_stride(state: LoadState, behind_ns: int, now_ns: int, hop_ns: int, most: int) -> LoadState:
    """Take account of how far behind the machine is.

    Args:
        state: As of before.
        behind_ns: How long ago the oldest window came that is not done; 0 where all are.
        now_ns: The time.
        hop_ns: Distance of two windows as the model asks for.
        most: The widest `every`, where a hop is still no longer than a window.
    """
    late_ns = state.every * hop_ns
    if behind_ns >= late_ns // 2:
        state = replace(state, restless_ns=now_ns)
    since_narrowed_ns = now_ns - state.narrowed_ns
    if behind_ns >= late_ns and 2 * state.every <= most and now_ns - state.widened_ns >= SETTLE_NS:
        patience_ns = min(2 * state.patience_ns, LONGEST_PATIENCE_NS)
        state = state if since_narrowed_ns >= state.patience_ns else replace(state, patience_ns=patience_ns)
        return replace(state, every=2 * state.every, widened_ns=now_ns)
    calm_ns = now_ns - max(state.restless_ns, state.widened_ns, state.narrowed_ns)
    if state.every > 1 and calm_ns >= state.patience_ns:
        return replace(state, every=state.every // 2, narrowed_ns=now_ns)
    if state.every == 1 and calm_ns >= LONGEST_PATIENCE_NS and state.patience_ns > PATIENCE_NS:
        return replace(state, patience_ns=PATIENCE_NS)
    return state

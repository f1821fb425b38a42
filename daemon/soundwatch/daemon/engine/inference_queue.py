"""The inference queue, and its reaction to a machine that is too slow.

Conventions: as in `engine.py`: one thread, nanoseconds of a monotonic clock.
Rules for a machine that is too slow: the hop widens (`adapt_stride`). If a window arrives while the oldest window of
its source has waited for `MAX_WAIT_HOPS`, or `MAX_PENDING_WINDOWS` of them wait, the oldest is dropped, counted, and
reported as a gap. A source with backpressure, a pipe, is not read instead, and loses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.stream import Gap, OverloadChange
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.engine.source_state import EngineSource, PendingItem

BATCH_WINDOWS: Final = 16
MAX_PENDING_WINDOWS: Final = 16
MAX_WAIT_HOPS: Final = 2
SETTLE_NS: Final = 5_000_000_000
RECOVERY_NS: Final = 10_000_000_000
MAX_RECOVERY_NS: Final = 640_000_000_000


class InferenceQueue:
    """Items that wait for the model, and the batch that the model runs.

    Args:
        spec: Front end of the model.
        now_ns: A monotonic clock.
    """

    def __init__(self, spec: FeatureSpec, now_ns: Callable[[], int]) -> None:
        self.running = list[PendingItem]()  # the batch that the model runs
        self._spec = spec
        self._now_ns = now_ns
        self._hop_ns = spec.window_hop_samples * 1_000_000_000 // spec.rate_hz
        self._waiting = deque[PendingItem]()
        self._load = LoadState()
        self._dropped_windows = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def stride_windows(self) -> int:
        """Distance of the windows that are classified; 1 for every window."""
        return self._load.stride_windows

    def put(self, item: PendingItem) -> None:
        """Append an item; its source's oldest window is dropped where the queue is too long."""
        source = item.source
        if isinstance(item.content, FeatureWindow):
            if source.waiting_windows and not source.has_backpressure:
                self._drop_oldest(source)
            source.waiting_windows += 1
            end_sample = item.content.features.end_sample
            hop_samples = self._load.stride_windows * self._spec.window_hop_samples
            item.new_samples = min(hop_samples, end_sample - source.windowed_until)
            source.windowed_until = end_sample
        self._waiting.append(item)

    def next_batch(self) -> list[PendingItem]:
        """Remove and return the oldest items: at most `BATCH_WINDOWS` windows, and the items between them."""
        batch, windows = list[PendingItem](), 0
        while self._waiting and windows < BATCH_WINDOWS and (not batch or self._waiting[0].context is batch[0].context):
            item = self._waiting.popleft()
            batch.append(item)
            if isinstance(item.content, FeatureWindow):
                windows += 1
                item.source.waiting_windows -= 1
                if item.source.deferred_slots:
                    item.source.handover_slots.release(item.source.deferred_slots)
                    item.source.deferred_slots = 0
        self.running = batch
        return batch

    def adapt(self, since_ns: int) -> OverloadChange | None:
        """Adapt the hop to the wait of the oldest item that arrived, at `since_ns` if none waits; return a change."""
        now_ns = self._now_ns()
        arrivals = (item.since_ns for item in chain(self.running, self._waiting) if not item.source.has_backpressure)
        behind_ns = now_ns - next(arrivals, since_ns)
        widest = self._spec.window_samples // self._spec.window_hop_samples
        before, self._load = self._load, adapt_stride(self._load, behind_ns, now_ns, self._hop_ns, widest)
        if self._load.stride_windows == before.stride_windows:
            return None
        return OverloadChange(
            state="recovered" if self._load.stride_windows == 1 else "degraded",
            hop_samples=self._load.stride_windows * self._spec.window_hop_samples,
            behind_ns=behind_ns,
            dropped_windows=self._dropped_windows,
        )

    def _drop_oldest(self, source: EngineSource) -> None:
        """Replace a source's oldest window by a gap of the sound that is new in it, where the queue is too long."""
        oldest = next(
            item for item in self._waiting if item.source is source and isinstance(item.content, FeatureWindow)
        )
        waited_ns = self._now_ns() - oldest.since_ns
        if source.waiting_windows < MAX_PENDING_WINDOWS and waited_ns < MAX_WAIT_HOPS * self._hop_ns:
            return
        assert isinstance(oldest.content, FeatureWindow)
        end_sample = oldest.content.features.end_sample
        oldest.content = Gap(end_sample - oldest.new_samples, oldest.new_samples, "overload")
        source.waiting_windows -= 1
        self._dropped_windows += 1


@dataclass(frozen=True, slots=True)
class LoadState:
    """Load of the machine so far.

    Attributes:
        stride_windows: Distance of the windows that are classified.
        widened_ns: Time of the last widening of the hop.
        narrowed_ns: Time of the last narrowing.
        last_behind_ns: Last time that a window had waited for half a hop.
        recovery_ns: Time without such a wait before the hop narrows.
    """

    stride_windows: int = 1
    widened_ns: int = -SETTLE_NS
    narrowed_ns: int = -MAX_RECOVERY_NS
    last_behind_ns: int = -MAX_RECOVERY_NS
    recovery_ns: int = RECOVERY_NS


def adapt_stride(state: LoadState, behind_ns: int, now_ns: int, hop_ns: int, widest: int) -> LoadState:
    """Update the window stride from the current backlog.

    Args:
        state: The state before.
        behind_ns: Age of the oldest window that is not classified; 0 if there is none.
        now_ns: The time.
        hop_ns: Hop of the model.
        widest: The widest stride, at which a hop is no longer than a window.
    """
    late_ns = state.stride_windows * hop_ns
    if behind_ns >= late_ns // 2:
        state = replace(state, last_behind_ns=now_ns)
    since_narrowed_ns = now_ns - state.narrowed_ns
    if behind_ns >= late_ns and 2 * state.stride_windows <= widest and now_ns - state.widened_ns >= SETTLE_NS:
        recovery_ns = min(2 * state.recovery_ns, MAX_RECOVERY_NS)
        state = state if since_narrowed_ns >= state.recovery_ns else replace(state, recovery_ns=recovery_ns)
        return replace(state, stride_windows=2 * state.stride_windows, widened_ns=now_ns)
    calm_ns = now_ns - max(state.last_behind_ns, state.widened_ns, state.narrowed_ns)
    if state.stride_windows > 1 and calm_ns >= state.recovery_ns:
        return replace(state, stride_windows=state.stride_windows // 2, narrowed_ns=now_ns)
    if state.stride_windows == 1 and calm_ns >= MAX_RECOVERY_NS and state.recovery_ns > RECOVERY_NS:
        return replace(state, recovery_ns=RECOVERY_NS)
    return state

"""What waits for the network, and what is done about it where there is too much.

Conventions: as in `engine/engine.py`: one thread, nanoseconds of a monotonic clock.
Rule for a machine that is too slow: the hop widens (`engine/inference_queue.py`). When a window comes while the oldest
of its source has waited for `MAX_WAIT_HOPS`, or `MAX_PENDING_WINDOWS` of them wait, the oldest is dropped, counted, and
told of as a gap. A source that waits by itself, a pipe, is not read on instead, and loses nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import FeatureWindow, Gap, OverloadChange
from soundwatch.daemon.engine.source_state import EngineSource, PendingItem

BATCH_WINDOWS: Final = 16
MAX_PENDING_WINDOWS: Final = 16
MAX_WAIT_HOPS: Final = 2


class InferenceQueue:
    """What waits for the network, and what it has just now.

    Args:
        spec: The model's.
        now_ns: A monotonic clock.
    """

    def __init__(self, spec: FeatureSpec, now_ns: Callable[[], int]) -> None:
        self.running = list[PendingItem]()  # what the network has just now
        self._spec = spec
        self._now_ns = now_ns
        self._hop_ns = spec.window_hop_samples * 1_000_000_000 // spec.rate_hz
        self._waiting = deque[PendingItem]()
        self._load = LoadState()
        self._dropped_windows = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def every(self) -> int:
        """Each so many-th window is to be classified."""
        return self._load.every

    def put(self, waiting: PendingItem) -> None:
        """Take what a source has to tell, in the place of its oldest window where it is high time."""
        voice = waiting.voice
        if isinstance(waiting.heard, FeatureWindow):
            if voice.waiting_windows and not voice.waits:
                self._drop_oldest(voice)
            voice.waiting_windows += 1
            end_sample = waiting.heard.features.end_sample
            hop_samples = self._load.every * self._spec.window_hop_samples
            waiting.new_samples = min(hop_samples, end_sample - voice.windowed_until)
            voice.windowed_until = end_sample
        self._waiting.append(waiting)

    def next_batch(self) -> list[PendingItem]:
        """What has waited longest: as many windows as one network takes at once, and what was lost between them."""
        batch, windows = list[PendingItem](), 0
        while self._waiting and windows < BATCH_WINDOWS and (not batch or self._waiting[0].context is batch[0].context):
            waiting = self._waiting.popleft()
            batch.append(waiting)
            if isinstance(waiting.heard, FeatureWindow):
                windows += 1
                waiting.voice.waiting_windows -= 1
                if waiting.voice.deferred_slots:
                    waiting.voice.handover_slots.release(waiting.voice.deferred_slots)
                    waiting.voice.deferred_slots = 0
        self.running = batch
        return batch

    def weigh(self, since_ns: int) -> OverloadChange | None:
        """Widen or narrow the hop by how long the oldest has waited; what there is to be said of it."""
        now_ns = self._now_ns()
        waiting = (each.since_ns for each in chain(self.running, self._waiting) if not each.voice.waits)
        behind_ns = now_ns - next(waiting, since_ns)
        most = self._spec.window_samples // self._spec.window_hop_samples
        before, self._load = self._load, adapt_stride(self._load, behind_ns, now_ns, self._hop_ns, most)
        if self._load.every == before.every:
            return None
        return OverloadChange(
            state="recovered" if self._load.every == 1 else "degraded",
            hop_samples=self._load.every * self._spec.window_hop_samples,
            behind_ns=behind_ns,
            dropped_windows=self._dropped_windows,
        )

    def _drop_oldest(self, voice: EngineSource) -> None:
        """Make a gap of a source's oldest waiting window, of the sound that is new in it, if it is high time."""
        oldest = next(each for each in self._waiting if each.voice is voice and isinstance(each.heard, FeatureWindow))
        waited_ns = self._now_ns() - oldest.since_ns
        if voice.waiting_windows < MAX_PENDING_WINDOWS and waited_ns < MAX_WAIT_HOPS * self._hop_ns:
            return
        assert isinstance(oldest.heard, FeatureWindow)
        end_sample = oldest.heard.features.end_sample
        oldest.heard = Gap(end_sample - oldest.new_samples, oldest.new_samples, "overload")
        voice.waiting_windows -= 1
        self._dropped_windows += 1


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
        last_behind_ns: When a window had waited for half a hop last.
        patience_ns: How long it has to be calm before the hop is narrowed.
    """

    every: int = 1
    widened_ns: int = -SETTLE_NS
    narrowed_ns: int = -LONGEST_PATIENCE_NS
    last_behind_ns: int = -LONGEST_PATIENCE_NS
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
        state = replace(state, last_behind_ns=now_ns)
    since_narrowed_ns = now_ns - state.narrowed_ns
    if behind_ns >= late_ns and 2 * state.every <= most and now_ns - state.widened_ns >= SETTLE_NS:
        patience_ns = min(2 * state.patience_ns, LONGEST_PATIENCE_NS)
        state = state if since_narrowed_ns >= state.patience_ns else replace(state, patience_ns=patience_ns)
        return replace(state, every=2 * state.every, widened_ns=now_ns)
    calm_ns = now_ns - max(state.last_behind_ns, state.widened_ns, state.narrowed_ns)
    if state.every > 1 and calm_ns >= state.patience_ns:
        return replace(state, every=state.every // 2, narrowed_ns=now_ns)
    if state.every == 1 and calm_ns >= LONGEST_PATIENCE_NS and state.patience_ns > PATIENCE_NS:
        return replace(state, patience_ns=PATIENCE_NS)
    return state

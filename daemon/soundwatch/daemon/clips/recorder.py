"""Cuts an event's sound, with some before and after it, out of what each source's tape holds.

Conventions: used by the engine's thread alone, and never waits. Events come in samples at the model's rate, tapes count
at their source's. Since an event is decided a window after it began, a tape keeps `LOOKBACK_S` beside the pre-roll;
a clip that is not complete yet keeps its own beginning there, `max_s` at most.
Rule: a clip is cut once its post-roll is there, once its event is known to have lasted for `max_s`, or when no more
sound will come: the stream has ended, or its source is lost or paused. What is on the tape may be ahead of what is
decided, so that the tape's end alone says nothing of an event that lasts.
Does not: write anything (`writer.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from soundwatch.daemon.clips.ring_buffer import Excerpt, RingBuffer
from soundwatch.daemon.core.config import ClipsConfig
from soundwatch.daemon.core.types import Block, Event, Gap, StreamSummary

LOOKBACK_S: Final = 15.0


class StreamTimes(Protocol):
    """What names a stream's events and dates its samples."""

    def event_id(self, event: Event) -> str:
        """An event's id."""

    def at_unix_ns(self, sample: int) -> int:
        """UTC of a sample at the model's rate."""


@dataclass(frozen=True, slots=True)
class PendingClip:
    """An event's sound on its way to a file.

    Attributes:
        source: Where it was heard.
        id: The event's.
        label: Its class.
        peak_score: Its highest score, as far as it was known when the clip was cut.
        start_unix_ns: UTC of the clip's first sample.
        cut: The sound.
    """

    source: str
    id: str
    label: str
    peak_score: float
    start_unix_ns: int
    cut: Excerpt


@dataclass(slots=True)
class _Wanted:
    """An event whose clip is not complete yet; samples at the source's rate."""

    id: str
    label: str
    peak_score: float
    first_sample: int
    longest_sample: int
    end_sample: int | None
    start_unix_ns: int


class ClipRecorder:
    """All sources' tapes, and the events that are to be cut out of them.

    Args:
        config: How much.
        model_rate_hz: That events' samples count at.
        hand_over: Takes each clip; must not wait.
    """

    def __init__(self, config: ClipsConfig, model_rate_hz: int, hand_over: Callable[[PendingClip], object]) -> None:
        self._config = config
        self._model_rate_hz = model_rate_hz
        self._hand_over = hand_over
        self._tapes: dict[str, RingBuffer] = {}
        self._wanted: dict[str, dict[str, _Wanted]] = {}

    def listen(self, source: str, block: Block) -> None:
        """Keep a source's next sound for a while."""
        tape = self._tapes.get(source)
        if tape is None or (tape.rate_hz, tape.channels) != (block.rate_hz, block.samples.shape[0]):
            self._cut(source, over=True)
            tape = self._tapes[source] = RingBuffer(block.rate_hz, block.samples.shape[0])
        tape.add(block)
        self._cut(source, over=False)
        kept_samples = round((self._config.pre_roll_s + LOOKBACK_S) * tape.rate_hz)
        begins = [wanted.first_sample for wanted in self._wanted.get(source, {}).values()]
        tape.forget(min([tape.end_sample - kept_samples, *begins]))

    def tell(
        self,
        source: str,
        stream: StreamTimes,
        told: Sequence[Event | Gap | StreamSummary],
        decided_sample: int,
        *,
        over: bool,
    ) -> None:
        """Take account of what was decided of a source's sound.

        Args:
            source: Its name.
            stream: What names and dates its events.
            told: What was decided.
            decided_sample: Up to where, at the model's rate.
            over: Whether no more sound will come that belongs to these events.
        """
        tape = self._tapes.get(source)
        if tape is None:
            return
        wanted = self._wanted.setdefault(source, {})
        for event in told:
            if not isinstance(event, Event):
                continue
            id_ = stream.event_id(event)
            if event.type == "start":
                wanted[id_] = self._begin(tape, id_, event, stream)
            elif id_ in wanted:
                wanted[id_].peak_score = event.peak_score
                if event.offset_sample is not None:
                    end_sample = self._of(tape, event.offset_sample, self._config.post_roll_s)
                    wanted[id_].end_sample = min(wanted[id_].longest_sample, end_sample)
        decided_sample = self._of(tape, decided_sample, 0)
        for each in wanted.values():
            if each.end_sample is None and decided_sample >= each.longest_sample:
                each.end_sample = each.longest_sample
        self._cut(source, over=over)

    def _begin(self, tape: RingBuffer, id_: str, event: Event, stream: StreamTimes) -> _Wanted:
        first_sample = max(0, tape.first_sample, self._of(tape, event.onset_sample, -self._config.pre_roll_s))
        longest_sample = first_sample + round(self._config.max_s * tape.rate_hz)
        return _Wanted(
            id=id_,
            label=event.label,
            peak_score=event.peak_score,
            first_sample=first_sample,
            longest_sample=longest_sample,
            end_sample=None,
            start_unix_ns=stream.at_unix_ns(first_sample * self._model_rate_hz // tape.rate_hz),
        )

    def _of(self, tape: RingBuffer, model_sample: int, later_s: float) -> int:
        """A place at the model's rate, and so much later, at the tape's."""
        return model_sample * tape.rate_hz // self._model_rate_hz + round(later_s * tape.rate_hz)

    def _cut(self, source: str, *, over: bool) -> None:
        """Hand over what is complete, or will not become more so."""
        tape, wanted = self._tapes.get(source), self._wanted.get(source, {})
        if tape is None or not wanted:
            return
        for each in list(wanted.values()):
            if not over and (each.end_sample is None or tape.end_sample < each.end_sample):
                continue
            del wanted[each.id]
            cut = tape.cut(each.first_sample, each.end_sample or each.longest_sample)
            if cut is not None:
                later_ns = (cut.first_sample - each.first_sample) * 1_000_000_000 // tape.rate_hz
                start_unix_ns = each.start_unix_ns + later_ns
                self._hand_over(PendingClip(source, each.id, each.label, each.peak_score, start_unix_ns, cut))

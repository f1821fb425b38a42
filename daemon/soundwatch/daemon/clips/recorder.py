"""Cut the sound of events, with pre-roll and post-roll, from the ring buffers of the sources.

Conventions: only the engine's thread uses a recorder, and a recorder never waits. Events have samples at the rate of
the model, ring buffers at the rate of their source. An event is detected one window after its onset, so a buffer keeps
`LOOKBACK_S` in addition to the pre-roll; an open clip keeps its begin in the buffer, for `max_s` at most.
Rule: a clip is cut when its post-roll is complete, when its event has lasted for `max_s`, or when no more sound
follows: the stream has ended, or its source is lost or paused. The buffer may be ahead of the detection, so the end of
the buffer does not tell whether an event is still active.
Does not: write anything (`writer.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.clips.ring_buffer import Excerpt, RingBuffer
from soundwatch.daemon.config.config import ClipsConfig, Config
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.core.records.stream import Gap, StreamSummary
from soundwatch.daemon.core.time.clock import SECOND_NS
from soundwatch.daemon.detection.effective import ClipSettings, resolve_clips
from soundwatch.daemon.detection.rules import SourceRules
from soundwatch.daemon.events.encoder import LineEncoder

LOOKBACK_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class PendingClip:
    """The sound of an event before it is written.

    Attributes:
        source: Name of the source.
        id: Id of the event.
        label: Class of the event.
        peak_score: Peak score of the event when the clip was cut.
        start_unix_ns: UTC of the first sample.
        excerpt: The sound.
        guarded: False for a source whose clips are not checked for speech.
    """

    source: str
    id: str
    label: str
    peak_score: float
    start_unix_ns: int
    excerpt: Excerpt
    guarded: bool = True


@dataclass(slots=True)
class _OpenClip:
    """An event with an incomplete clip; samples at the rate of the source."""

    id: str
    label: str
    peak_score: float
    first_sample: int
    limit_sample: int
    end_sample: int | None
    start_unix_ns: int


class ClipRecorder:
    """The ring buffers of all sources, and the events to cut from them.

    Args:
        config: Settings of clips, for a source without settings of its own.
        model_rate_hz: Rate of the samples in events.
        submit: Takes each clip; must not wait.
        pending: Gets the id of each event with an open clip; the writer removes it after the clip's line.
    """

    def __init__(
        self,
        config: ClipsConfig,
        model_rate_hz: int,
        submit: Callable[[PendingClip], object],
        pending: set[str] | None = None,
    ) -> None:
        self._common = resolve_clips(Config(clips=config), "")
        self._settings: dict[str, ClipSettings] = {}
        self._model_rate_hz = model_rate_hz
        self._submit = submit
        self._pending = set[str]() if pending is None else pending
        self._buffers: dict[str, RingBuffer] = {}
        self._open: dict[str, dict[str, _OpenClip]] = {}

    def configure(self, sources: Mapping[str, SourceRules]) -> None:
        """Use the settings of each source from now on; a source without clips loses its buffer and its open clips."""
        self._settings = {name: own.settings.clips for name, own in sources.items()}
        for source in [name for name, settings in self._settings.items() if not settings.enabled.value]:
            self._buffers.pop(source, None)
            self._pending.difference_update(self._open.pop(source, {}))

    def is_pending(self, event_id: str) -> bool:
        """Return True while the clip of an event is open or waits to be written; safe in any thread."""
        return event_id in self._pending

    def _settings_of(self, source: str) -> ClipSettings:
        return self._settings.get(source, self._common)

    def add_block(self, source: str, block: Block) -> None:
        """Append a block to the buffer of its source."""
        if not self._settings_of(source).enabled.value:
            return
        buffer = self._buffers.get(source)
        if buffer is None or (buffer.rate_hz, buffer.channels) != (block.rate_hz, block.samples.shape[0]):
            self._cut(source, final=True)
            buffer = self._buffers[source] = RingBuffer(block.rate_hz, block.samples.shape[0])
        buffer.add(block)
        self._cut(source, final=False)
        kept_samples = round((self._settings_of(source).pre_roll_s.value + LOOKBACK_S) * buffer.rate_hz)
        begins = [clip.first_sample for clip in self._open.get(source, {}).values()]
        buffer.discard_before(min([buffer.end_sample - kept_samples, *begins]))

    def add_events(
        self,
        source: str,
        encoder: LineEncoder,
        events: Sequence[Event | Gap | StreamSummary],
        decided_sample: int,
        *,
        final: bool,
    ) -> None:
        """Start, extend and finish clips after a step of the detection.

        Args:
            source: Name of the source.
            encoder: Gives ids to events and times to samples.
            events: Result of the detection.
            decided_sample: The detection is complete up to this sample, at the rate of the model.
            final: No more sound of these events follows.
        """
        buffer = self._buffers.get(source)
        if buffer is None:
            return
        open_clips, settings = self._open.setdefault(source, {}), self._settings_of(source)
        for event in events:
            if isinstance(event, Event):
                self._take_event(event, open_clips, buffer, encoder, settings)
        decided_sample = self._source_sample(buffer, decided_sample, 0)
        for clip in open_clips.values():
            if clip.end_sample is None and decided_sample >= clip.limit_sample:
                clip.end_sample = clip.limit_sample
        self._cut(source, final=final)

    def _take_event(
        self,
        event: Event,
        open_clips: dict[str, _OpenClip],
        buffer: RingBuffer,
        encoder: LineEncoder,
        settings: ClipSettings,
    ) -> None:
        """Begin a clip at the start of an event, and end it with the event."""
        id_ = encoder.event_id(event)
        if event.type == "start":
            if settings.gives_clip(event.label):
                self._pending.add(id_)
                open_clips[id_] = self._begin(buffer, id_, event, encoder, settings)
        elif id_ in open_clips:
            open_clips[id_].peak_score = event.peak_score
            if event.offset_sample is not None:
                end_sample = self._source_sample(buffer, event.offset_sample, settings.post_roll_s.value)
                open_clips[id_].end_sample = min(open_clips[id_].limit_sample, end_sample)

    def _begin(
        self, buffer: RingBuffer, id_: str, event: Event, encoder: LineEncoder, settings: ClipSettings
    ) -> _OpenClip:
        onset_sample = self._source_sample(buffer, event.onset_sample, -settings.pre_roll_s.value)
        first_sample = max(0, buffer.first_sample, onset_sample)
        return _OpenClip(
            id=id_,
            label=event.label,
            peak_score=event.peak_score,
            first_sample=first_sample,
            limit_sample=first_sample + round(settings.max_s.value * buffer.rate_hz),
            end_sample=None,
            start_unix_ns=encoder.at_unix_ns(first_sample * self._model_rate_hz // buffer.rate_hz),
        )

    def _source_sample(self, buffer: RingBuffer, model_sample: int, later_s: float) -> int:
        """Convert a sample at the rate of the model, plus an offset, to the rate of the source."""
        return model_sample * buffer.rate_hz // self._model_rate_hz + round(later_s * buffer.rate_hz)

    def _cut(self, source: str, *, final: bool) -> None:
        """Submit the clips that are complete or get no more sound."""
        buffer, open_clips = self._buffers.get(source), self._open.get(source, {})
        if buffer is None or not open_clips:
            return
        for clip in list(open_clips.values()):
            if not final and (clip.end_sample is None or buffer.end_sample < clip.end_sample):
                continue
            del open_clips[clip.id]
            excerpt = buffer.excerpt(clip.first_sample, clip.end_sample or clip.limit_sample)
            if excerpt is None:
                self._pending.discard(clip.id)
            else:
                later_ns = (excerpt.first_sample - clip.first_sample) * SECOND_NS // buffer.rate_hz
                start_unix_ns = clip.start_unix_ns + later_ns
                guarded = self._settings_of(source).speech_guard.value
                self._submit(PendingClip(source, clip.id, clip.label, clip.peak_score, start_unix_ns, excerpt, guarded))

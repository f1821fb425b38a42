"""One source as the engine knows it, and what it has to tell.

Conventions: as in `engine.py`, whose records these are. Its thread alone writes to them, where nothing else is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

import numpy as np

from soundwatch.daemon.lines import Line
from soundwatch.daemon.listen import Ears, Listening
from soundwatch.daemon.pipeline import Inbound, Outbound, judge, last_words, lost
from soundwatch.daemon.plight import Plight, Quality
from soundwatch.daemon.types import Block, Event, Gap, Heard, Scores, Summary, read_only
from soundwatch.daemon.wire import Stream, plight_line, quality_line

UNREAD_SOUNDS: Final = 4


@dataclass(slots=True)
class Voice:
    """One source as the engine knows it.

    Attributes:
        listening: The source, and how its sound ended.
        outbound: Where it stands behind the network.
        inbound: Where it stands before it.
        stream: What makes its lines; None before its first block.
        waiting_windows: How many of its windows wait for the network.
        unread_sounds: How often more it may hand sound over before it has to wait.
        handed_sounds: How often it has handed sound over; its own thread counts.
        taken_sounds: How many of those have been through the pipeline.
        owed_sounds: How many of those it is not given back before its windows are done.
        state: Whether it is to be heard just now; away while it is waited for.
        heard_ns: When its sound was last taken.
    """

    listening: Listening
    outbound: Outbound
    inbound: Inbound = field(default_factory=Inbound)
    stream: Stream | None = None
    waiting_windows: int = 0
    unread_sounds: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(UNREAD_SOUNDS))
    handed_sounds: int = 0
    taken_sounds: int = 0
    owed_sounds: int = 0
    state: Literal["opening", "heard", "away", "over"] = "opening"
    heard_ns: int = 0

    @property
    def waits(self) -> bool:
        """Whether the source loses nothing by not being read."""
        return self.listening.source.info.waits


@dataclass(slots=True)
class Waiting:
    """What a source has to tell when its turn comes.

    Attributes:
        voice: The source.
        heard: A window, a loss, what has become of the source or its sound, or None where the sound is over.
        since_ns: When its last sample came.
        end_sample: Where the stream ended then, for what holds no place of its own.
    """

    voice: Voice
    heard: Heard | Gap | Plight | Quality | None
    since_ns: int
    end_sample: int = 0


def lines_of(waiting: Waiting, scores: Iterator[Scores], ears: Ears) -> list[Callable[[int], Line]]:
    """Decide what one has to tell, and make lines of it.

    Args:
        waiting: It; its voice is changed.
        scores: Those of the batch's windows that are not taken yet; one is taken if this is a window.
        ears: What all sources share.
    """
    voice, heard, labels = waiting.voice, waiting.heard, ears.classifier.contract.labels
    told: Sequence[Event | Gap | Summary] = ()
    if isinstance(heard, Plight):
        if heard.state == "lost":
            voice.outbound, told = lost(voice.outbound, waiting.end_sample, ears.rules, labels)
        if heard.start_unix_ns is not None and voice.stream is not None:
            voice.stream = replace(voice.stream, start_unix_ns=heard.start_unix_ns)
    elif heard is None:
        told = last_words(voice.outbound, waiting.end_sample, labels, voice.listening.why_ended())
    elif not isinstance(heard, Quality):
        own = [next(scores)] if isinstance(heard, Heard) else []
        voice.outbound, told = judge(voice.outbound, [heard], own, ears.rules, ears.classifier.contract.features)
    lines: list[Callable[[int], Line]] = []
    if told:
        assert voice.stream is not None
        lines = [partial(voice.stream.line, each) for each in told]
    written_unix_ns, name = ears.clock.written_unix_ns(time.time_ns()), voice.listening.source.info.name
    if isinstance(heard, Plight):
        lines.append(partial(plight_line, heard, ears.node, name, written_unix_ns))
    elif isinstance(heard, Quality):
        lines.append(partial(quality_line, heard, ears.node, name, written_unix_ns))
    return lines


def joined(blocks: Sequence[Block]) -> list[Block]:
    """The same sound in as few blocks as there are losses."""
    starts = [place for place, block in enumerate(blocks) if block.lost_samples or not place]
    runs = [blocks[start:end] for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True)]
    return [
        replace(run[0], samples=read_only(np.concatenate([block.samples for block in run], axis=1)))
        if len(run) > 1
        else run[0]
        for run in runs
    ]

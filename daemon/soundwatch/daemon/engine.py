"""All sources' sound through one network: each source is captured in a thread of its own, all else is here.

Conventions: one thread, the caller's, takes every block through the pipeline and writes every line; one more runs the
network, since that can go on beside Python. A source's thread keeps its blocks until a window can be full, so that the
hand-over and the resampler are paid for once a window. Windows that are ready while the network runs are classified
together as soon as it is free, so none waits longer than one batch lasts, and a lone source's does not wait at all.
Times are nanoseconds of a monotonic clock.
Rule for a machine that is too slow: the hop widens (`overload.py`). When a window comes while the oldest of its source
has waited for `LONGEST_WAIT_HOPS`, or `WAITING_WINDOWS` of them wait, the oldest is dropped, counted, and told of as a
gap. A source that waits by itself, a pipe, is not read on instead, and loses nothing.
Does not: open sources or models (`app.py`).
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Final

from soundwatch.daemon.classify import classify
from soundwatch.daemon.decide import undecided
from soundwatch.daemon.errors import SourceError
from soundwatch.daemon.listen import Ears, Listening
from soundwatch.daemon.overload import Load, weigh
from soundwatch.daemon.pipeline import Outbound, break_off, features_of, hear
from soundwatch.daemon.plight import News, Plight, Reanchored, SourceState
from soundwatch.daemon.progress import Progress, Watch
from soundwatch.daemon.resample import joined
from soundwatch.daemon.types import Block, Gap, Health, Heard, Scores
from soundwatch.daemon.voices import UNREAD_SOUNDS, Voice, Waiting, after, as_paused, lines_of, taken_up
from soundwatch.daemon.wire import health_line

BATCH_WINDOWS: Final = 16
WAITING_WINDOWS: Final = 16
LONGEST_WAIT_HOPS: Final = 2
WAKE_S: Final = 0.5  # how often the main thread looks up on Windows, where a wait keeps signals out
CLOSING_S: Final = 5.0


class Engine:
    """What all sources go through.

    Args:
        ears: What they share.
        say: Called with a sentence and its fields when a source has broken.
        now_ns: A monotonic clock.
        watch: Called at each turn of the loop with where the engine stands, and when that was.
    """

    def __init__(
        self,
        ears: Ears,
        say: Callable[..., object],
        now_ns: Callable[[], int] = time.monotonic_ns,
        watch: Watch = lambda *_: None,
    ) -> None:
        self._ears = ears
        self._say = say
        self._spec = ears.classifier.contract.features
        self._hop_ns = self._spec.window_hop_samples * 1_000_000_000 // self._spec.rate_hz
        self._now_ns = now_ns
        self._watch = watch
        self._progress = Progress(now_ns())
        self._load = Load()
        self._dropped_windows = 0
        self._backlog = deque[Waiting]()
        self._voices = list[Voice]()
        self._running = list[Waiting]()  # what the network has just now
        self._going_on = 0
        self._inbox = queue.SimpleQueue[Callable[[], None]]()  # what is to be done here, whoever found it
        self._batches = queue.SimpleQueue[list[Waiting] | None]()
        self._classified = deque[tuple[list[Waiting], list[Scores]]]()

    def voice(self, listening: Listening) -> Voice:
        """A source that is about to be heard."""
        voice = Voice(listening, Outbound(undecided(self._ears.rules)), tapes=self._ears.tapes)
        self._progress.voices.append(voice)
        return voice

    def run(self, listenings: Sequence[Listening]) -> None:
        """Listen until all are done; one that broke keeps its `failure`.

        Raises:
            SinkError: No line can be written any more.
            ModelError: The network failed.
        """
        self._voices = voices = [self.voice(listening) for listening in listenings]
        sources = [threading.Thread(target=self._capture, args=(voice,), daemon=True) for voice in voices]
        network = threading.Thread(target=self._classify, daemon=True)
        self._going_on = len(voices)
        for thread in (network, *sources):
            thread.start()
        try:
            while self._running or self._backlog or self._going_on:
                with contextlib.suppress(queue.Empty):
                    self._inbox.get(timeout=WAKE_S)()
                while self._classified:  # before any more blocks, so that the network is not kept waiting by them
                    self.tell(*self._classified.popleft())
                while self._backlog and not self._running:
                    self._hand_over(self.next_batch())
                self._watch(self._progress, self._now_ns())
        finally:
            self._batches.put(None)
            for voice in voices:
                voice.listening.stop()
                voice.unread_sounds.release(UNREAD_SOUNDS)
            for thread in (network, *sources):
                thread.join(CLOSING_S)

    def take(self, voice: Voice, block: Block | None, since_ns: int) -> None:
        """A source's next block, which came at `since_ns`, or None where its sound ended by itself."""
        if voice.stream is None:
            if block is None:
                return
            voice.stream = self._ears.stream(voice.listening.source)
            self._ears.journal.append(voice.stream.hello)
        if voice.paused and block is not None:
            voice.skipped = after(voice.skipped, block)
            return
        resumed = voice.skipped is not None
        voice.inbound, heard = hear(voice.inbound, taken_up(voice, block), self._spec, self._load.every)
        self._line_up(voice, as_paused(heard) if resumed else heard, since_ns)
        if not voice.waits:
            self._weigh(since_ns)

    def meet(self, voice: Voice, news: News) -> None:
        """A source is waited for, lost or back, its sound is examined, or its times are moved."""
        now_ns, say = self._now_ns(), partial(self._say, source=voice.listening.source.info.name)
        if isinstance(news, Plight) and news.state in ("lost", "paused"):
            voice.inbound, heard = break_off(voice.inbound, self._spec, self._load.every)
            self._line_up(voice, heard, now_ns)
        self._backlog.append(Waiting(voice, news, now_ns, voice.inbound.windowing.end_sample))
        if isinstance(news, Plight):
            voice.state = "heard" if news.state in ("back", "resumed") else "away"
            say(f"a source is {news.state}", reason=news.detail)
        elif isinstance(news, Reanchored):
            say("a source's times are moved", reason=news.reason, shift_s=news.shift_ns / 1e9)
        elif news.news:
            say(f"a source's sound is {'poor' if news.faults else 'good'}", faults=", ".join(news.faults))

    def switch(self, source: str, listen: bool) -> None:
        """Pause a source, so that its sound is thrown away unheard, or listen to it again. For any thread."""
        self._inbox.put(partial(self._switch, source, listen))

    def _switch(self, source: str, listen: bool) -> None:
        for voice in self._voices:
            if voice.listening.source.info.name == source and voice.paused is listen:
                state: SourceState = "resumed" if listen else "paused"
                self.meet(voice, Plight(state, "asked", f"{source} is {state}."))
                voice.paused = not listen

    def _line_up(self, voice: Voice, heard: Sequence[Heard | Gap], since_ns: int) -> None:
        hop_samples = self._load.every * self._spec.window_hop_samples
        for each in heard:
            waiting = Waiting(voice, each, since_ns)
            if isinstance(each, Heard):
                if voice.waiting_windows and not voice.waits:
                    self._drop_oldest(voice)
                voice.waiting_windows += 1
                waiting.new_samples = min(hop_samples, each.features.end_sample - voice.windowed_until)
                voice.windowed_until = each.features.end_sample
            self._backlog.append(waiting)

    def end(self, voice: Voice) -> None:
        """A source's sound is over."""
        voice.paused = False
        if voice.skipped is not None:
            self.take(voice, replace(voice.skipped, lost_samples=0), self._now_ns())
        if voice.listening.why_ended() == "end_of_stream":
            self.take(voice, None, self._now_ns())
        if voice.stream is not None:
            self._backlog.append(Waiting(voice, None, self._now_ns(), voice.inbound.windowing.end_sample))

    def next_batch(self) -> list[Waiting]:
        """What has waited longest: as many windows as the network takes at once, and what was lost between them."""
        batch, windows = list[Waiting](), 0
        while self._backlog and windows < BATCH_WINDOWS:
            waiting = self._backlog.popleft()
            batch.append(waiting)
            if isinstance(waiting.heard, Heard):
                windows += 1
                waiting.voice.waiting_windows -= 1
                if waiting.voice.owed_sounds:
                    waiting.voice.unread_sounds.release(waiting.voice.owed_sounds)
                    waiting.voice.owed_sounds = 0
        self._running = batch
        return batch

    def tell(self, batch: Sequence[Waiting], scores: Sequence[Scores]) -> None:
        """Decide and write what a batch has to tell, with the scores of its windows.

        Raises:
            SinkError: No line can be written any more.
        """
        self._running = []
        self._progress.batch_since_ns = None
        each_score = iter(scores)
        for waiting in batch:
            for line in lines_of(waiting, each_score, self._ears):
                self._ears.journal.append(line)

    def _drop_oldest(self, voice: Voice) -> None:
        """Make a gap of a source's oldest waiting window, of the sound that is new in it, if it is high time."""
        oldest = next(each for each in self._backlog if each.voice is voice and isinstance(each.heard, Heard))
        waited_ns = self._now_ns() - oldest.since_ns
        if voice.waiting_windows < WAITING_WINDOWS and waited_ns < LONGEST_WAIT_HOPS * self._hop_ns:
            return
        assert isinstance(oldest.heard, Heard)
        end_sample = oldest.heard.features.end_sample
        oldest.heard = Gap(end_sample - oldest.new_samples, oldest.new_samples, "overload")
        voice.waiting_windows -= 1
        self._dropped_windows += 1

    def _weigh(self, since_ns: int) -> None:
        """Widen or narrow the hop by how long the oldest has waited, and say so."""
        now_ns = self._now_ns()
        waiting = (each.since_ns for each in chain(self._running, self._backlog) if not each.voice.waits)
        behind_ns = now_ns - next(waiting, since_ns)
        most = self._spec.window_samples // self._spec.window_hop_samples
        before, self._load = self._load, weigh(self._load, behind_ns, now_ns, self._hop_ns, most)
        if self._load.every != before.every:
            health = Health(
                state="recovered" if self._load.every == 1 else "degraded",
                hop_samples=self._load.every * self._spec.window_hop_samples,
                behind_ns=behind_ns,
                dropped_windows=self._dropped_windows,
            )
            written_unix_ns = self._ears.clock.written_unix_ns(time.time_ns())
            line = partial(health_line, health, self._ears.node, written_unix_ns, self._spec.rate_hz)
            self._ears.journal.append(line)

    def _capture(self, voice: Voice) -> None:
        """One source's thread: keeps what comes until a window can be full, and stamps it with when that was."""
        kept: list[Block] = []
        try:
            for block in voice.listening.source.blocks():
                if not isinstance(block, Block):  # told at once: it may be long before there is a block
                    self._hand_in(voice, kept)
                    kept = []
                    self._inbox.put(partial(self.meet, voice, block))
                    continue
                kept.append(block)
                if voice.stream is None or block.lost_samples or self._may_fill_a_window(voice, kept):
                    self._hand_in(voice, kept)
                    kept = []
        except SourceError as error:
            voice.listening.failure = error
        except BaseException as error:  # noqa: BLE001  # a bug of ours: raised where the program can end of it
            self._inbox.put(partial(_raise, error))
        self._hand_in(voice, kept)
        self._inbox.put(partial(self._end_one, voice))

    def _may_fill_a_window(self, voice: Voice, kept: list[Block]) -> bool:
        """Whether the next window ends in what is kept, or that is a hop long.

        The window's end may still be in the resampler: then it comes with the next block.
        """
        spec, rate_hz, first_sample = self._spec, kept[0].rate_hz, kept[0].first_sample
        end_sample: int = kept[-1].first_sample + kept[-1].samples.shape[1]
        if (end_sample - first_sample) * spec.rate_hz >= spec.window_hop_samples * rate_hz:
            return True
        known = voice.handed_sounds == voice.taken_sounds  # or else which window is next is yet to be seen
        window_end_sample = voice.inbound.windowing.first_sample + spec.window_samples
        return known and end_sample * spec.rate_hz >= window_end_sample * rate_hz

    def _hand_in(self, voice: Voice, kept: list[Block]) -> None:
        if not kept:
            return
        since_ns = self._now_ns()
        voice.unread_sounds.acquire()
        voice.handed_sounds += 1
        self._inbox.put(partial(self._take_kept, voice, kept, since_ns))

    def _take_kept(self, voice: Voice, blocks: list[Block], since_ns: int) -> None:
        voice.state, voice.heard_ns = "heard", self._now_ns()
        if voice.tapes is not None and not voice.paused:
            for block in blocks:
                voice.tapes.listen(voice.listening.source.info.name, block)
        for block in joined(blocks, self._spec):  # here, since each thread that allocates has memory of its own
            self.take(voice, block, since_ns)
        voice.taken_sounds += 1
        if voice.waits and voice.waiting_windows >= WAITING_WINDOWS:
            voice.owed_sounds += 1
        else:
            voice.unread_sounds.release()

    def _end_one(self, voice: Voice) -> None:
        self._going_on -= 1
        voice.state = "over"
        self.end(voice)
        if voice.listening.failure is not None:
            source = voice.listening.source.info.name
            self._say("a source was lost", source=source, error=str(voice.listening.failure))

    def _hand_over(self, batch: list[Waiting]) -> None:
        """Give the network a batch, or tell at once what holds no window."""
        if any(isinstance(waiting.heard, Heard) for waiting in batch):
            self._progress.batch_since_ns = self._now_ns()
            self._batches.put(batch)
        else:
            self.tell(batch, [])

    def _classify(self) -> None:
        """The network's thread."""
        while (batch := self._batches.get()) is not None:
            try:
                features = features_of([each.heard for each in batch])
                self._classified.append((batch, classify(self._ears.classifier, features)))
                self._inbox.put(_wake)
            except BaseException as error:  # noqa: BLE001  # whatever it is, it ends the program in the main thread
                self._inbox.put(partial(_raise, error))


def _wake() -> None:
    """There is something to be seen to."""


def _raise(error: BaseException) -> None:
    raise error

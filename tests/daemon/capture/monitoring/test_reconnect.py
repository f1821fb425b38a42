"""A stream continues after the loss of its source, with correct times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.capture.monitoring import reconnect as module
from soundwatch.daemon.capture.monitoring.reconnect import ReconnectingSource
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import LiveSource, SourceInfo, SourceNotice, SourceStateChange
from soundwatch.daemon.core.time.clock import ClockReading

SECOND_NS = 1_000_000_000
BLOCK_NS = SECOND_NS // 10
UNIX_NS = 1_800_000_000 * SECOND_NS


@dataclass(slots=True)
class World:
    """Two clocks, and a device that delivers by them.

    Attributes:
        now_ns: The steady clock.
        wall_ns: What the wall clock is ahead of it.
    """

    now_ns: int = 0
    wall_ns: int = UNIX_NS

    def unix_ns(self) -> int:
        return self.now_ns + self.wall_ns

    def moment(self) -> ClockReading:
        return ClockReading(self.now_ns, self.unix_ns())


@dataclass(slots=True)
class Connection:
    """A connection to a device: a number of blocks of 100 ms, then an error.

    Attributes:
        away_ns: What passes before it is opened.
    """

    world: World
    blocks_heard: int
    away_ns: int = 0
    rate_hz: int = 8000
    channels: int = 1
    error: SourceError | None = None
    waits: bool = False
    start_unix_ns: int = 0
    stopped: bool = False
    asked: list[int] = field(default_factory=list)

    @property
    def info(self) -> SourceInfo:
        return SourceInfo("mic", "USB", self.rate_hz, self.channels)

    def blocks(self) -> Iterator[Block | SourceStateChange]:
        if self.waits:
            yield SourceStateChange("waiting", "absent", "No input device matches 'USB'.")
        self.world.now_ns += self.away_ns
        self.start_unix_ns = self.world.unix_ns()
        size = self.rate_hz // 10
        for number in range(self.blocks_heard):
            if self.stopped:
                return
            self.world.now_ns += BLOCK_NS
            yield Block(np.ones((self.channels, size), np.float32), self.rate_hz, number * size)
        raise self.error or SourceError("USB stopped delivering.")

    def gather_until(self, end_sample: int) -> None:
        self.asked.append(end_sample)

    def stop(self) -> None:
        self.stopped = True


@dataclass(slots=True)
class Street:
    """A source that is lost and returns as the test defines, without real delays."""

    world: World
    connections: list[Connection]
    items: list[Block | SourceNotice] = field(default_factory=list)

    def run(self, on_item: Callable[[Block | SourceNotice], None] = lambda _: None) -> ReconnectingSource:
        remaining = iter(self.connections[1:])

        def reopen() -> LiveSource:
            connection = next(remaining, None)
            if connection is None:
                lasting.stop()
                raise SourceError("The street ends.")
            return connection

        lasting = ReconnectingSource(self.connections[0], reopen, self.world.moment)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "FIRST_PAUSE_S", 0)
            for item in lasting.blocks():
                self.items.append(item)
                on_item(item)
        return lasting

    @property
    def blocks(self) -> list[Block]:
        return [item for item in self.items if isinstance(item, Block)]

    @property
    def changes(self) -> list[SourceStateChange]:
        return [item for item in self.items if isinstance(item, SourceStateChange)]


def test_windows_after_a_loss_keep_their_positions() -> None:
    world = World()
    street = Street(world, [Connection(world, 5), Connection(world, 2, away_ns=3 * SECOND_NS)])
    street.run()
    first, second = street.blocks[4:6]
    assert (first.first_sample, second.first_sample, second.lost_samples) == (3200, 28_000, 24_000)
    assert [change.state for change in street.changes] == ["lost", "back", "lost"]
    back = street.changes[1]
    assert (back.reason, back.away_ns, back.missed_ns) == ("ended", 3 * SECOND_NS, 3 * SECOND_NS)
    assert street.items[7] is back, "after the block that accounts for the gap"


def test_the_end_of_the_next_block_is_counted_from_the_present_source() -> None:
    world = World()
    first, second = Connection(world, 2), Connection(world, 2, away_ns=SECOND_NS)
    source = ReconnectingSource(first, lambda: second, world.moment)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FIRST_PAUSE_S", 0)
        for item in source.blocks():
            if isinstance(item, Block):
                source.gather_until(item.first_sample + 1000)
                if second.asked:
                    source.stop()
    assert (first.asked, second.asked) == ([1000, 1800], [1000])


def test_a_missing_device_is_reported_once_and_its_stream_begins_when_it_appears() -> None:
    world = World()
    street = Street(world, [Connection(world, 2, away_ns=40 * SECOND_NS, waits=True), Connection(world, 1, waits=True)])
    lasting = street.run()
    assert [change.state for change in street.changes] == ["waiting", "back", "lost", "back", "lost"]
    assert street.blocks[0].first_sample == street.blocks[0].lost_samples == 0
    assert (street.changes[1].away_ns, street.changes[1].missed_ns) == (40 * SECOND_NS, 0)
    assert lasting.start_unix_ns == UNIX_NS + 40 * SECOND_NS


def test_a_stalled_source_is_distinguished_from_an_ended_one() -> None:
    world = World()
    street = Street(world, [Connection(world, 1, error=StallError("Nothing came.")), Connection(world, 1)])
    street.run()
    assert [change.reason for change in street.changes] == ["stalled", "stalled", "ended"]


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (4000, 2), (44_100, 6)])
def test_another_rate_and_other_channels_after_a_loss_keep_the_time(rate_hz: int, channels: int) -> None:
    world = World()
    after = Connection(world, 2, 2 * SECOND_NS, rate_hz, channels)
    street = Street(world, [Connection(world, 10), after])
    street.run()
    block = street.blocks[10]
    assert (block.rate_hz, block.samples.shape) == (rate_hz, (1, rate_hz // 10))
    assert (block.first_sample, block.lost_samples) == (3 * rate_hz, 2 * rate_hz)


@pytest.mark.parametrize("step_ns", [3600 * SECOND_NS, -3600 * SECOND_NS])
def test_a_clock_set_during_the_first_block_does_not_shift_it(step_ns: int) -> None:
    world = World()

    class Set(Connection):
        def blocks(self) -> Iterator[Block | SourceStateChange]:
            for item in Connection.blocks(self):
                self.world.wall_ns += step_ns
                yield item

    street = Street(world, [Connection(world, 10), Set(world, 1, 5 * SECOND_NS)])
    street.run()
    assert street.blocks[10].lost_samples == 5 * 8000


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 10**10), st.integers(-(10**12), 10**12)), min_size=2),
    st.sampled_from([8000, 11_025, 44_100]),
)
def test_every_missing_sample_is_counted_for_any_clock_change(
    connections: list[tuple[int, int, int]], rate_hz: int
) -> None:
    world = World()
    street = Street(world, [Connection(world, heard, away, rate_hz) for heard, away, _ in connections])
    steps = iter(step for _, _, step in connections)
    end_sample = 0

    def check(item: Block | SourceNotice) -> None:
        nonlocal end_sample
        if isinstance(item, SourceStateChange) and item.state == "lost":
            world.wall_ns += next(steps, 0)
        if not isinstance(item, Block):
            return
        assert item.first_sample == end_sample + item.lost_samples
        end_sample = item.first_sample + item.samples.shape[1]

    lasting = street.run(check)
    heard_and_lost = end_sample / rate_hz
    assert heard_and_lost == pytest.approx((world.now_ns - connections[0][1]) / 1e9, abs=0.01 * len(connections))
    assert lasting.start_unix_ns == UNIX_NS + connections[0][1]


def test_a_microphone_whose_clock_drifts_does_not_add_that_to_a_loss() -> None:
    world = World()

    class Slow(Connection):
        def blocks(self) -> Iterator[Block | SourceStateChange]:
            for item in Connection.blocks(self):
                self.world.now_ns += BLOCK_NS // 1000  # a block takes 100.1 ms
                yield item

    street = Street(world, [Slow(world, 20_000), Connection(world, 1, away_ns=2 * SECOND_NS)])
    street.run()
    assert street.blocks[20_000].lost_samples == pytest.approx(2 * 8000, abs=1000)


def test_lines_lost_at_the_end_of_the_program_are_counted() -> None:
    world = World()
    street = Street(world, [Connection(world, 10)])

    def pass_time(item: Block | SourceNotice) -> None:
        if isinstance(item, SourceStateChange):
            world.now_ns += 7 * SECOND_NS

    street.run(pass_time)
    last = street.blocks[-1]
    assert (last.samples.shape, last.first_sample, last.lost_samples) == ((1, 0), 64_000, 56_000)


def test_an_unavailable_source_is_not_retried() -> None:
    world = World()
    street = Street(world, [Connection(world, 0, error=SourceUnavailableError("Microphones need PortAudio."))])
    with pytest.raises(SourceUnavailableError, match="PortAudio"):
        street.run()


def test_a_hundred_losses_in_a_row_keep_nothing_of_the_lost_sources() -> None:
    world = World()
    street = Street(world, [Connection(world, 1, SECOND_NS) for _ in range(100)])
    street.run()
    assert [change.state for change in street.changes] == ["lost", "back"] * 99 + ["lost"]
    assert street.blocks[-1].first_sample == 8000 * 99 + 800 * 99


@pytest.mark.parametrize(
    ("blocks", "pauses_s"),
    [
        ([1, 1, 1, 1, 1, 1, 1], [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]),
        ([1, 1, 49, 51, 1, 0, 1], [0.25, 0.5, 1.0, 0.25, 0.5, 1.0, 2.0]),
    ],
)
def test_a_source_that_ends_soon_after_each_connection_is_reopened_ever_later_until_one_lasts(
    blocks: list[int], pauses_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[float] = []

    class RecordedBackoff(Backoff):
        def next_s(self) -> float:
            found.append(super().next_s())
            return 0.0

    monkeypatch.setattr(module, "Backoff", RecordedBackoff)
    world = World()
    connections = iter([Connection(world, number) for number in blocks])

    def reopen() -> LiveSource:
        connection = next(connections, None)
        if connection is None:
            source.stop()
            raise SourceError("No further connection.")
        return connection

    source = ReconnectingSource(next(connections), reopen, world.moment)
    assert len(list(source.blocks())) > len(blocks)
    assert found == pauses_s

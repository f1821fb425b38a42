"""Prometheus' metrics at `/metrics`.

Conventions: the prefix is `soundwatch_`, units are in the names, what only grows ends in `_total`; labels are source,
class, sink, model, provider. Counts are of this run of the program. A value that does not exist has no sample.
Source: prometheus.io/docs/practices/naming. The client's library is imported at the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from soundwatch.daemon import __version__
from soundwatch.daemon.core.source import AudioQuality
from soundwatch.daemon.status.live import SourceStats
from soundwatch.daemon.web.context import WebContext
from soundwatch.daemon.web.latency import LatencyHistograms
from soundwatch.daemon.web.responses import coverage

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PREFIX: Final = "soundwatch_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """What a scrape gets.

    Args:
        view: What there is to see.
        delays: Of the windows so far.
    """

    def __init__(self, view: WebContext, delays: LatencyHistograms) -> None:
        self._view = view
        self._delays = delays
        self._registry: Any = None

    def text(self) -> bytes:
        """In Prometheus' text format."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        if self._registry is None:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(self)
            ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
            self._registry = registry
        text: bytes = generate_latest(self._registry)
        return text

    def collect(self) -> Iterable[Metric]:
        """All but the process's own."""
        yield from self._machine()
        yield from self._sources()
        yield from self._readings()
        yield from source_metrics(dict(self._view.sink_context.live.source_stats))
        yield from self._sinks()

    def describe(self) -> Iterable[Metric]:
        """Nothing, as the library asks of what is only known when it is asked."""
        return ()

    def _machine(self) -> Iterator[Metric]:
        view = self._view
        overload = view.sink_context.board().overload
        yield gauge(
            "info",
            "What runs: always 1.",
            ("version", "model", "provider", "node"),
            [((__version__, view.contract.identity, view.provider, view.sink_context.node), 1)],
        )
        yield gauge("start_time_seconds", "When the program began, UTC.", (), [((), view.started_unix_ns / 1e9)])
        degraded = overload is not None and overload.state == "degraded"
        yield gauge("overloaded", "1 while the machine cannot keep up with its sources.", (), [((), degraded)])
        dropped = overload.dropped_windows if overload else 0
        yield counter("dropped_windows", "Windows dropped since the machine was too slow.", (), [((), dropped)])
        yield gauge("journal_failing", "1 while the journal cannot be written.", (), [((), view.journal.failing)])
        yield gauge("journal_last_seq", "Number of the last line.", (), [((), view.journal.last_seq)])
        lost = view.journal.dropped_lines
        yield counter("journal_dropped_lines", "Lines lost for want of room or time.", (), [((), lost)])

    def _sources(self) -> Iterator[Metric]:
        board = self._view.sink_context.board().sources
        heard = [((name,), each.hearing == "heard") for name, each in board.items()]
        yield gauge("source_heard", "1 while a source is heard.", ("source",), heard)
        active = [((name,), len(each.active)) for name, each in board.items()]
        yield gauge("active_events", "Events that last.", ("source",), active)
        faults = [((name, fault), 1) for name, each in board.items() for fault in each.faults]
        yield gauge("source_fault", "What is wrong with a source's sound.", ("source", "fault"), faults)
        events = [
            ((name, label), each.events.get(label, 0))
            for name, each in board.items()
            for label in dict.fromkeys((*self._view.thresholds, *each.events))
        ]
        yield counter("events", "Events that have started.", ("source", "class"), events)
        gaps = [((name,), each.gaps) for name, each in board.items()]
        yield counter("gaps", "Stretches of sound that were lost or not listened to.", ("source",), gaps)
        lost = [((name,), each.lost_s) for name, each in board.items()]
        yield counter("gap_seconds", "How much sound those came to.", ("source",), lost)

    def _readings(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import HistogramMetricFamily

        latest = dict(self._view.sink_context.live.latest)
        windows = [((name,), reading.windows) for name, reading in latest.items()]
        yield counter("windows", "Windows that were classified.", ("source",), windows)
        level = [((name,), each.level_dbfs) for name, each in latest.items()]
        yield gauge("level_dbfs", "Level of the last window; none for digital silence.", ("source",), level)
        heard = [((name,), each.heard_s) for name, each in latest.items()]
        yield counter("heard_seconds", "Sound that was heard.", ("source",), heard)
        shares = [((name,), coverage(each)) for name, each in latest.items()]
        yield gauge("coverage_ratio", "Share of the stream that was heard.", ("source",), shares)
        ends = [((name,), each.end_unix_ns / 1e9) for name, each in latest.items()]
        yield gauge("last_window_time_seconds", "End of the last window, UTC.", ("source",), ends)
        delays = HistogramMetricFamily(
            f"{PREFIX}decision_delay_seconds", "From a window's last sample to its decision.", labels=("source",)
        )
        for name, histogram in self._delays.all().items():
            delays.add_metric((name,), histogram.cumulative, histogram.sum_s)
        yield delays

    def _sinks(self) -> Iterator[Metric]:
        states = self._view.sinks()
        works = [((state.name,), state.state == "working") for state, _ in states]
        yield gauge("sink_available", "1 while a sink takes lines.", ("sink",), works)
        behind = [((state.name,), lines) for state, lines in states]
        yield gauge("sink_behind_lines", "Lines that a sink has yet to take.", ("sink",), behind)
        lost = [((state.name,), state.lost_lines) for state, _ in states]
        yield counter("sink_lost_lines", "Lines the journal had dropped before a sink took them.", ("sink",), lost)


def source_metrics(source_stats: Mapping[str, SourceStats]) -> Iterator[Metric]:
    """How each source is: what is examined of its sound, of the last ten seconds, and of its clock."""
    losses = [((name,), truth.losses) for name, truth in source_stats.items()]
    yield counter("source_losses", "How often a source was lost.", ("source",), losses)
    moved = [((name,), truth.shifted_ns / 1e9) for name, truth in source_stats.items()]
    yield gauge("clock_shift_seconds", "What a source's times have been moved by in all.", ("source",), moved)
    for key, text, of in EXAMINED:
        found = [((name,), of(truth.quality)) for name, truth in source_stats.items() if truth.quality is not None]
        yield gauge(f"sound_{key}", text, ("source",), found)


EXAMINED: Final[tuple[tuple[str, str, Callable[[AudioQuality], float | None]], ...]] = (
    ("level_dbfs", "Level of ten seconds; none for digital silence.", lambda quality: quality.level_dbfs),
    ("floor_dbfs", "Level of their quietest second.", lambda quality: quality.floor_dbfs),
    ("peak_ratio", "Their largest magnitude, full scale 1.", lambda quality: quality.peak),
    ("dc_offset_ratio", "Mean of the channel furthest from 0.", lambda quality: quality.dc_offset),
    ("clipped_ratio", "Share of samples at full scale.", lambda quality: quality.clipped_share),
    ("same_channels", "1 where two channels are the same.", lambda quality: quality.same_channels),
    ("rate_hertz", "Samples a second by our clock, of a minute.", lambda quality: quality.measured_hz),
    ("zeros_seconds", "Longest run of exact zeros.", lambda quality: quality.longest_zero_run_ms / 1000),
    ("wait_seconds", "Longest time in which nothing was delivered.", lambda quality: quality.longest_gap_ms / 1000),
)


Samples = Iterable[tuple[tuple[str, ...], float | None]]


def gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """What goes up and down."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, float(value))
    return family


def counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """What only grows."""
    from prometheus_client.metrics_core import CounterMetricFamily

    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        if value is not None:
            family.add_metric(values, float(value))
    return family

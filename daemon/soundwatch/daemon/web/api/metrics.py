"""Prometheus metrics at `/metrics`.

Conventions: the prefix is `soundwatch_`, names contain units, counters end in `_total`; labels are source, class, sink,
model, provider. Counters start at 0 with the program. A value that does not exist has no sample.
Source: prometheus.io/docs/practices/naming. The client library is imported at the first request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from soundwatch.daemon import __version__
from soundwatch.daemon.core.records.source import AudioQuality
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.status.live import SourceStats
from soundwatch.daemon.web.api.responses import coverage
from soundwatch.daemon.web.live.latency import LatencyHistograms

if TYPE_CHECKING:
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

PREFIX: Final = "soundwatch_"
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

SOUND_LEVELS: Final = ("laeq", "lceq", "lzeq", "lafmax", "lasmax")


class Metrics:
    """Collector of the metrics.

    Args:
        view: State of the daemon.
        latencies: Latencies of the windows so far.
    """

    def __init__(self, view: DaemonView, latencies: LatencyHistograms) -> None:
        self._view = view
        self._latencies = latencies
        self._registry: Any = None

    def text(self) -> bytes:
        """Return the metrics in the Prometheus text format."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        if self._registry is None:
            registry = CollectorRegistry(auto_describe=False)
            registry.register(self)
            ProcessCollector(namespace=PREFIX.rstrip("_"), registry=registry)
            self._registry = registry
        text: bytes = generate_latest(self._registry)
        return text

    def collect(self) -> Iterable[Metric]:
        """Yield all metrics except those of the process."""
        yield from self._daemon()
        yield from self._sources()
        yield from self._windows()
        yield from source_metrics(dict(self._view.live.source_stats))
        yield from self._sinks()

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the client library requires this of a collector without static metrics."""
        return ()

    def _daemon(self) -> Iterator[Metric]:
        view, active = self._view, self._view.model()
        overload = view.status.snapshot.overload
        yield gauge(
            "info",
            "Version, model, provider and node; always 1.",
            ("version", "model", "provider", "node"),
            [((__version__, active.contract.identity, active.provider, view.node), 1)],
        )
        yield gauge("start_time_seconds", "Start time of the program, UTC.", (), [((), view.started_unix_ns / 1e9)])
        degraded = overload is not None and overload.state == "degraded"
        yield gauge("overloaded", "1 while the machine cannot keep up with its sources.", (), [((), degraded)])
        dropped = overload.dropped_windows if overload else 0
        yield counter("dropped_windows", "Windows dropped because the machine was too slow.", (), [((), dropped)])
        yield gauge("journal_failing", "1 while the journal cannot be written.", (), [((), view.journal.failing)])
        yield gauge("journal_last_seq", "Number of the last line.", (), [((), view.journal.last_seq)])
        lost = view.journal.dropped_lines
        yield counter("journal_dropped_lines", "Lines lost because there was no room or no time.", (), [((), lost)])

    def _sources(self) -> Iterator[Metric]:
        sources = self._view.status.snapshot.sources
        running = [((name,), source.state == "heard") for name, source in sources.items()]
        yield gauge("source_heard", "1 while a source delivers sound.", ("source",), running)
        active = [((name,), len(source.active)) for name, source in sources.items()]
        yield gauge("active_events", "Active events.", ("source",), active)
        faults = [((name, fault), 1) for name, source in sources.items() for fault in source.faults]
        yield gauge("source_fault", "Faults in a source's sound; 1 for each.", ("source", "fault"), faults)
        events = [
            ((name, label), source.events.get(label, 0))
            for name, source in sources.items()
            for label in dict.fromkeys((*self._view.model().thresholds, *source.events))
        ]
        yield counter("events", "Started events.", ("source", "class"), events)
        gaps = [((name,), source.gaps) for name, source in sources.items()]
        yield counter("gaps", "Parts of the stream that were lost or skipped.", ("source",), gaps)
        lost = [((name,), source.lost_s) for name, source in sources.items()]
        yield counter("gap_seconds", "Total duration of those parts.", ("source",), lost)

    def _windows(self) -> Iterator[Metric]:
        from prometheus_client.metrics_core import HistogramMetricFamily

        latest = dict(self._view.live.latest)
        windows = [((name,), window.windows) for name, window in latest.items()]
        yield counter("windows", "Classified windows.", ("source",), windows)
        level = [((name,), window.level_dbfs) for name, window in latest.items()]
        yield gauge("level_dbfs", "Level of the last window; no sample for digital silence.", ("source",), level)
        sound = [
            ((name, kind, str(line.calibrated).lower()), getattr(line, f"{kind}_db"))
            for name, line in dict(self._view.live.latest_levels).items()
            for kind in SOUND_LEVELS
        ]
        help_ = "Sound level of the last second, in dB of sound pressure where calibrated, else re full scale."
        yield gauge("sound_level_db", help_, ("source", "kind", "calibrated"), sound)
        processed = [((name,), window.processed_s) for name, window in latest.items()]
        yield counter("heard_seconds", "Processed sound.", ("source",), processed)
        shares = [((name,), coverage(window)) for name, window in latest.items()]
        yield gauge("coverage_ratio", "Processed share of the stream.", ("source",), shares)
        ends = [((name,), window.end_unix_ns / 1e9) for name, window in latest.items()]
        yield gauge("last_window_time_seconds", "End of the last window, UTC.", ("source",), ends)
        latencies = HistogramMetricFamily(
            f"{PREFIX}decision_delay_seconds", "Time from a window's last sample to its decision.", labels=("source",)
        )
        for name, histogram in self._latencies.all().items():
            latencies.add_metric((name,), histogram.cumulative, histogram.sum_s)
        yield latencies

    def _sinks(self) -> Iterator[Metric]:
        statuses = self._view.sinks()
        available = [((status.name,), status.state == "working") for status, _ in statuses]
        yield gauge("sink_available", "1 while a sink accepts lines.", ("sink",), available)
        behind = [((status.name,), lines) for status, lines in statuses]
        yield gauge("sink_behind_lines", "Lines that a sink has yet to write.", ("sink",), behind)
        lost = [((status.name,), status.lost_lines) for status, _ in statuses]
        yield counter(
            "sink_lost_lines", "Lines that the journal had deleted before a sink wrote them.", ("sink",), lost
        )
        skipped = [((status.name,), status.skipped_lines) for status, _ in statuses]
        yield counter(
            "sink_skipped_lines", "Lines that a sink left out: refused by its server, or too old.", ("sink",), skipped
        )


def source_metrics(source_stats: Mapping[str, SourceStats]) -> Iterator[Metric]:
    """Yield the quality of each source's sound over the last ten seconds, and its clock corrections."""
    losses = [((name,), stats.losses) for name, stats in source_stats.items()]
    yield counter("source_losses", "Number of times a source was lost.", ("source",), losses)
    moved = [((name,), stats.shifted_ns / 1e9) for name, stats in source_stats.items()]
    yield gauge("clock_shift_seconds", "Total correction of a source's times.", ("source",), moved)
    for key, text, value_of in QUALITY_METRICS:
        found = [
            ((name,), value_of(stats.quality)) for name, stats in source_stats.items() if stats.quality is not None
        ]
        yield gauge(f"sound_{key}", text, ("source",), found)


QUALITY_METRICS: Final[tuple[tuple[str, str, Callable[[AudioQuality], float | None]], ...]] = (
    ("level_dbfs", "Level of ten seconds; no sample for digital silence.", lambda quality: quality.level_dbfs),
    ("floor_dbfs", "Level of the quietest of those seconds.", lambda quality: quality.floor_dbfs),
    ("peak_ratio", "Largest magnitude of those seconds, full scale 1.", lambda quality: quality.peak),
    ("dc_offset_ratio", "Largest DC offset of a channel.", lambda quality: quality.dc_offset),
    ("clipped_ratio", "Share of samples at full scale.", lambda quality: quality.clipped_share),
    ("same_channels", "1 if two channels are equal.", lambda quality: quality.same_channels),
    ("rate_hertz", "Samples per second of this machine's clock, over a minute.", lambda quality: quality.measured_hz),
    ("zeros_seconds", "Longest run of exact zeros.", lambda quality: quality.longest_zero_run_ms / 1000),
    ("wait_seconds", "Longest time without a delivery.", lambda quality: quality.longest_gap_ms / 1000),
)


Samples = Iterable[tuple[tuple[str, ...], float | None]]


def gauge(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """Return a gauge."""
    from prometheus_client.metrics_core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(PREFIX + name, text, labels=labels), samples)


def counter(name: str, text: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """Return a counter."""
    from prometheus_client.metrics_core import CounterMetricFamily

    return _filled(CounterMetricFamily(PREFIX + name, text, labels=labels), samples)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, samples: Samples) -> Metric:
    for values, value in samples:
        if value is not None:
            family.add_metric(values, float(value))
    return family

"""The sound level meters of all sources: lines of levels, and levels of events.

Conventions: only the engine's thread uses a meter, and a meter never waits. Samples of blocks are at the rate of their
source, those of an encoder and of events at the rate of the model.
Rule: a fault of a meter switches that meter off and never ends the detection; failures of destinations pass through.
Does not: measure (`meter.py`) or format lines (`lines.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

import msgspec

from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.events.level_schema import LevelLine, LevelPeriodLine
from soundwatch.daemon.events.schema import EventLine
from soundwatch.daemon.level.event_levels import EventLevels
from soundwatch.daemon.level.lines import minute_line, period_line, rounded_db, second_line
from soundwatch.daemon.level.meter import MeterState, SecondLevel, measure
from soundwatch.daemon.level.periods import Period, PeriodState, add_second, end_periods
from soundwatch.daemon.level.watch import LevelWatch
from soundwatch.daemon.level.weighting import LEAST_RATE_HZ


@dataclass(slots=True)
class _SourceMeter:
    """The meter of one source."""

    events: EventLevels
    watch: LevelWatch
    zone: tzinfo  # of the open periods
    pending: list[Event] = field(default_factory=list)
    state: MeterState = field(default_factory=MeterState)
    periods: PeriodState = field(default_factory=PeriodState)
    end_unix_ns: int = 0
    ended: bool = False


class LevelMeter:
    """The meters of all sources.

    Args:
        watch: Builds the watch of a source, for a model and the settings in force.
        offset_db: Returns the level of a source's full scale in decibels of sound pressure; None without calibration.
        zone: Returns the time zone of the periods. Another zone ends the open periods.
        publish: Takes the line of each second and minute; must not wait.
        append: Takes the lines of longer periods.
        log: Gets one warning for a source that is not metered, and one error for a meter that fails.
        bands: Also measure 1/3-octave bands, for lines of a minute and longer.
    """

    def __init__(
        self,
        watch: Callable[[str, ModelContract], LevelWatch],
        offset_db: Callable[[str], float | None],
        zone: Callable[[], tzinfo],
        publish: Callable[[LevelLine], object],
        append: Callable[[LevelPeriodLine], object],
        log: Logger,
        *,
        bands: bool = False,
    ) -> None:
        self._watch = watch
        self._offset_db = offset_db
        self._zone = zone
        self._publish = publish
        self._append = append
        self._log = log
        self._bands = bands
        self._unmetered: set[str] = set()
        self._failed: set[str] = set()
        self._meters: dict[str, _SourceMeter] = {}

    def add_block(self, source: str, encoder: LineEncoder, block: Block | None) -> None:
        """Measure the next block of a source; None for the end of its stream.

        Raises:
            OSError: A line was not accepted.
            SoundwatchError: A line was not accepted.
        """
        if source in self._failed:
            return
        if block is not None and block.rate_hz < LEAST_RATE_HZ:
            if source not in self._unmetered:
                self._unmetered.add(source)
                self._log.warning(
                    "level_unavailable", source=source, rate_hz=block.rate_hz, least_rate_hz=LEAST_RATE_HZ
                )
            return
        try:
            self._measure(source, encoder, block)
        except (OSError, SoundwatchError):
            raise
        except Exception as error:  # noqa: BLE001  # a fault of the meter must not end the detection
            self._failed.add(source)
            self._log.error("level_failed", source=source, error=f"{type(error).__name__}: {error}")

    def _measure(self, source: str, encoder: LineEncoder, block: Block | None) -> None:
        """Measure the next block; the end of a stream that was never measured is ignored."""
        spec = encoder.contract.features
        meter = self._meters.get(source)
        if meter is None:
            if block is None:
                return
            self._meters = {name: other for name, other in self._meters.items() if not other.ended}
            meter = self._meters[source] = _SourceMeter(
                EventLevels(spec.rate_hz, spec.window_samples), self._watch(source, encoder.contract), self._zone()
            )
        meter.state, seconds = measure(meter.state, block, bands=self._bands)
        for second in seconds:
            self._add_second(meter, second, encoder)
        if block is None:
            self._end_all(meter, encoder)
            meter.state = MeterState()
        meter.ended = block is None

    def take_events(
        self, source: str, until_sample: int, reason: EndReason | None, tags: Sequence[tuple[str, float]]
    ) -> list[Event]:
        """Return the events that were decided up to a sample; with a reason, all, and the ends of those that go on.

        Events wait for the model's window, so that the lines of a source are in the order of their times.
        """
        meter = self._meters.get(source)
        if meter is None:
            return []
        if reason is not None:
            meter.pending += meter.watch.end(until_sample, reason)
            until_sample = max([until_sample, *(event.decision_sample for event in meter.pending)])
        taken = [event for event in meter.pending if event.decision_sample <= until_sample]
        meter.pending = [event for event in meter.pending if event.decision_sample > until_sample]
        return [replace(event, also=tuple(tags)) for event in taken]

    def with_levels(self, source: str, event: Event, line: EventLine) -> EventLine:
        """Return the line of an event with its levels."""
        meter = self._meters.get(source)
        if meter is None or source in self._failed:
            return line
        offset_db = self._offset_db(source)
        level, highest = meter.events.of_event(event)
        return msgspec.structs.replace(
            line,
            level_dba=rounded_db(level, offset_db),
            peak_level_dba=rounded_db(highest, offset_db),
            calibrated=offset_db is not None,
        )

    def _add_second(self, meter: _SourceMeter, second: SecondLevel, encoder: LineEncoder) -> None:
        rate_hz = encoder.contract.features.rate_hz
        end_unix_ns = encoder.at_unix_ns(second.end_sample * rate_hz // second.rate_hz)
        begin_sample = (second.end_sample - second.rate_hz) * rate_hz // second.rate_hz
        # a model or settings that a reload brought
        meter.pending += meter.watch.change(self._watch(encoder.source.name, encoder.contract), begin_sample)
        meter.events.add(second)
        meter.pending += meter.watch.add(second, self._offset_db(encoder.source.name) or 0.0)
        if (zone := self._zone()) != meter.zone:
            self._end_all(meter, encoder)
            meter.zone = zone
        meter.periods, ended = add_second(meter.periods, second, end_unix_ns, zone)
        self._end(meter, ended, encoder)
        meter.end_unix_ns = end_unix_ns
        self._publish(second_line(second, encoder, end_unix_ns, self._offset_db(encoder.source.name)))

    def _end_all(self, meter: _SourceMeter, encoder: LineEncoder) -> None:
        """End all open periods, as far as they were measured."""
        self._end(meter, end_periods(meter.periods, meter.zone), encoder)
        meter.periods = PeriodState()

    def _end(self, meter: _SourceMeter, ended: list[Period], encoder: LineEncoder) -> None:
        """Publish or append the lines of periods that have ended."""
        offset_db = self._offset_db(encoder.source.name)
        for period in ended:
            if period.kind == "1min":
                self._publish(minute_line(period, encoder, offset_db))
            else:
                self._append(period_line(period, encoder, meter.end_unix_ns, offset_db))

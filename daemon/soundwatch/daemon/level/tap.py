"""The sound level meters of all sources, and the lines of their levels.

Conventions: only the engine's thread uses a meter, and a meter never waits. Samples of blocks are at the rate of their
source, those of an encoder at the rate of the model.
Does not: measure (`meter.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.types import Block
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.level.meter import MeterState, SecondLevel, decibels, measure


@dataclass(slots=True)
class _SourceMeter:
    """The meter of one source."""

    state: MeterState


class LevelMeter:
    """The meters of all sources.

    Args:
        offset_db: Returns the level of a source's full scale in decibels of sound pressure; None without calibration.
        publish: Takes the line of each second; must not wait.
    """

    def __init__(self, offset_db: Callable[[str], float | None], publish: Callable[[LevelLine], object]) -> None:
        self._offset_db = offset_db
        self._publish = publish
        self._meters: dict[str, _SourceMeter] = {}

    def add_block(self, source: str, encoder: LineEncoder, block: Block | None) -> None:
        """Measure the next block of a source; None for the end of its stream."""
        meter = self._meters.setdefault(source, _SourceMeter(MeterState()))
        meter.state, seconds = measure(meter.state, block)
        if block is None:
            del self._meters[source]
        offset_db = self._offset_db(source)
        for second in seconds:
            self._publish(second_line(second, encoder, offset_db))


def second_line(second: SecondLevel, encoder: LineEncoder, offset_db: float | None) -> LevelLine:
    """Return the line of one second."""
    rate_hz = encoder.contract.features.rate_hz
    return LevelLine(
        time=format_utc(encoder.at_unix_ns(second.end_sample * rate_hz // second.rate_hz)),
        node=encoder.node,
        source=encoder.source.name,
        calibrated=offset_db is not None,
        coverage=round(second.coverage, 3),
        laeq_db=rounded_db(second.a, offset_db),
        lceq_db=rounded_db(second.c, offset_db),
        lzeq_db=rounded_db(second.z, offset_db),
        lafmax_db=rounded_db(second.fast_max, offset_db),
        lasmax_db=rounded_db(second.slow_max, offset_db),
    )


def rounded_db(mean_square: float, offset_db: float | None) -> float | None:
    """Return a level in decibels, rounded to a tenth."""
    level_db = decibels(mean_square, offset_db or 0.0)
    return None if level_db is None else round(level_db, 1)

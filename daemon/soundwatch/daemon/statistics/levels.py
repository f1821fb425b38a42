"""Mean level LAeq of each source by the hour, from the stored levels of quarters of an hour.

Conventions: as in `statistics/records.py`. Energies are added, weighted by the time that was measured; digital silence
counts with no energy. Levels with and without a calibration are apart.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from soundwatch.daemon.statistics.coverage import unix_ms
from soundwatch.daemon.statistics.records import LevelStatistics

DIGITS: Final = 1


class _Quarter(msgspec.Struct):
    """Keys of a `level` line that the mean needs."""

    source: str
    time: str
    start: str
    calibrated: bool
    coverage: float
    laeq_db: float | None


@dataclass(slots=True)
class _Energy:
    """Sum over the measured time of an hour; the energy is relative to 0 dB."""

    measured_ms: float = 0.0
    energy: float = 0.0

    @property
    def level_db(self) -> float | None:
        """Mean level; None where nothing was measured, and for digital silence."""
        return round(10 * math.log10(self.energy / self.measured_ms), DIGITS) if self.energy > 0 else None


def level_statistics(lines: Iterable[bytes], hours_s: Sequence[int]) -> tuple[LevelStatistics, ...]:
    """Return the mean level of each hour and of all of them, for each source that has levels.

    Args:
        lines: `level` lines of quarters of an hour that begin in the hours.
        hours_s: Begins of the hours, and the end of the last one, in seconds since 1970.
    """
    hours = defaultdict[tuple[str, bool], list[_Energy]](lambda: [_Energy() for _ in hours_s[1:]])
    for line in lines:
        quarter = msgspec.json.decode(line, type=_Quarter)
        start_ms = unix_ms(quarter.start)
        hour = bisect_right(hours_s, start_ms // 1000) - 1
        if not 0 <= hour < len(hours_s) - 1:  # a period of another time zone, before the setting was changed
            continue
        found = hours[quarter.source, quarter.calibrated][hour]
        measured_ms = quarter.coverage * (unix_ms(quarter.time) - start_ms)
        found.measured_ms += measured_ms
        if quarter.laeq_db is not None:
            found.energy += measured_ms * 10 ** (quarter.laeq_db / 10)
    return tuple(
        LevelStatistics(
            source=source,
            calibrated=calibrated,
            laeq_db=_sum(energies).level_db,
            by_hour=tuple(energy.level_db for energy in energies),
        )
        for (source, calibrated), energies in sorted(hours.items())
    )


def _sum(energies: Iterable[_Energy]) -> _Energy:
    found = _Energy()
    for energy in energies:
        found.measured_ms += energy.measured_ms
        found.energy += energy.energy
    return found

"""Levels of a second, as the meter publishes them."""

from __future__ import annotations

from soundwatch.daemon.events.level_schema import LevelLine


def level_line(laeq_db: float | None, source: str = "mic0", *, calibrated: bool = False) -> LevelLine:
    return LevelLine(
        time="2026-11-22T08:15:02.000Z",
        node="edge1",
        source=source,
        calibrated=calibrated,
        coverage=1.0,
        laeq_db=laeq_db,
        lceq_db=laeq_db,
        lzeq_db=laeq_db,
        lafmax_db=laeq_db,
        lasmax_db=laeq_db,
    )

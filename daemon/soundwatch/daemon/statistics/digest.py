"""The digest of the last full day or week, for programs that send it."""

from __future__ import annotations

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.statistics.compute import compute_statistics
from soundwatch.daemon.statistics.period import PeriodKind, last_full_period
from soundwatch.daemon.statistics.text import render_text


def last_digest(store: JournalStore, kind: PeriodKind, place: PlaceConfig, now_s: int, stats_s: float | None) -> str:
    """Return the statistics of the last day or week that has ended, as text in the language of the place.

    Args:
        store: The journal.
        kind: Day or week.
        place: Place of the machine, for its time zone and language.
        now_s: The present, in seconds since 1970.
        stats_s: Sound between two `stats` lines, as configured.

    Raises:
        StoreError: The file cannot be read by another program than its writer.
        sqlite3.Error: The file cannot be read by its writer.
    """
    statistics = compute_statistics(store, last_full_period(kind, place, now_s), now_s, stats_s)
    return render_text(statistics, place.language)

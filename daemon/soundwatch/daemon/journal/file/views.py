"""Views of the journal for other programs, such as Grafana: `events`, `coverage` and `gaps`.

Conventions: `unix_s` is in seconds since 1970 in UTC; units are in the names. A row of `coverage` is the time between
two `stats` lines of a stream, or between its start and its first one; `unix_s` is the end of that time. A stream is a
new one if it began more than a minute from the one before. A release replaces views that differ from its own.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from soundwatch.daemon.journal.file.event_sql import LAST_LINE, PEAK_DBA, PEAK_DBFS

VIEWS: Final = {
    "events": f"""
SELECT seq, e.id AS id, unix_s, e.time AS time, source, e.class AS class, json_extract(last, '$.onset') AS onset,
    json_extract(last, '$.duration_s') AS duration_s, json_extract(last, '$.type') != 'end' AS active,
    json_extract(last, '$.peak_score') AS peak_score, level_dbfs, level_dba,
    labels.id IS NOT NULL AS labeled, labels.class AS label
FROM (SELECT s.seq, s.id, CAST(strftime('%s', s.time) AS INTEGER) AS unix_s, s.time, s.source, s.class,
    CAST({LAST_LINE} AS TEXT) AS last, {PEAK_DBFS} AS level_dbfs, {PEAK_DBA} AS level_dba
    FROM lines s WHERE s.type = 'start') e LEFT JOIN labels ON labels.id = e.id""",  # noqa: S608
    "coverage": """
SELECT source, unix_s, duration_s - coalesce(before_s, 0) AS span_s,
    duration_s - lost_s - coalesce(before_s - before_lost_s, 0) AS scored_s
FROM (SELECT source, unix_s, duration_s, lost_s,
    CASE WHEN abs(begin_s - lag(begin_s) OVER stream) < 60 THEN lag(duration_s) OVER stream END AS before_s,
    CASE WHEN abs(begin_s - lag(begin_s) OVER stream) < 60 THEN lag(lost_s) OVER stream END AS before_lost_s
    FROM (SELECT seq, source, unix_s, duration_s, lost_s, unix_s - duration_s AS begin_s
        FROM (SELECT seq, source, CAST(strftime('%s', time) AS INTEGER) AS unix_s,
            json_extract(CAST(line AS TEXT), '$.duration_s') AS duration_s,
            json_extract(CAST(line AS TEXT), '$.lost_s') AS lost_s FROM lines WHERE type = 'stats'))
    WINDOW stream AS (PARTITION BY source ORDER BY seq))""",
    "gaps": """
SELECT source, CAST(strftime('%s', json_extract(CAST(line AS TEXT), '$.start')) AS INTEGER) AS unix_s,
    json_extract(CAST(line AS TEXT), '$.duration_s') AS duration_s,
    json_extract(CAST(line AS TEXT), '$.reason') AS reason
FROM lines WHERE type = 'gap'""",
}


def create_views(db: sqlite3.Connection) -> None:
    """Make the views, or make them again where they differ from those of this release.

    Raises:
        sqlite3.DatabaseError: The file cannot be written.
    """
    wanted = {name: f"CREATE VIEW {name} AS {query.strip()}" for name, query in VIEWS.items()}
    found = dict(db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'view'").fetchall())
    if all(found.get(name) == text for name, text in wanted.items()):
        return
    script = "".join(f"DROP VIEW IF EXISTS {name}; {text};\n" for name, text in wanted.items())
    db.executescript(f"BEGIN; {script} COMMIT;")

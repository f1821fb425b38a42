"""SQL for the lines of an event, within queries that name the row of its first line `s`."""

from __future__ import annotations

from typing import Final

_LINES: Final = "FROM lines WHERE id = s.id AND type IN ('start', 'update', 'end')"
LAST_LINE: Final = f"(SELECT line {_LINES} ORDER BY seq DESC LIMIT 1)"
PEAK_DBFS: Final = f"(SELECT max(json_extract(CAST(line AS TEXT), '$.level_dbfs')) {_LINES})"
PEAK_DBA: Final = (
    f"(SELECT max(json_extract(CAST(line AS TEXT), '$.level_dba')) {_LINES}"
    " AND json_extract(CAST(line AS TEXT), '$.calibrated'))"
)

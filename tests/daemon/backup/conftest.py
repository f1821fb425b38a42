"""A home with a journal, clips and a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.journal.queries.labels import set_label
from support.busy_week import write_busy_journal


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with a configuration, a calibration, clips, and an open journal with labels."""
    home = tmp_path / "old"
    (home / "clips" / "siren").mkdir(parents=True)
    (home / "clips" / "siren" / "a.flac").write_bytes(b"sound")
    (home / "calibration.json").write_text("{}")
    (home / "config.yaml").write_text(
        "node: balcony\ndetection: {calibration: calibration.json}\n"
        f"journal: {{path: {home}/journal.db}}\nclips: {{folder: {home}/clips}}\n"
    )
    store = write_busy_journal(home / "journal.db")
    set_label(store, f"01JD8Z{1:020d}", "2024-11-12T00:00:00.000Z", "car_horn")
    yield home
    store.close()

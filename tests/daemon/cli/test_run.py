"""The configuration that `soundwatch run` makes of a file and its options."""

from __future__ import annotations

import pytest

from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.cli.run import _without_demo_journal
from soundwatch.daemon.core.config import Config, JournalConfig
from soundwatch.daemon.core.source_config import SourceConfig

DEMO, MICROPHONE = SourceConfig(device="demo"), SourceConfig()


@pytest.mark.parametrize(
    ("sources", "named", "path"),
    [
        ({"demo": DEMO}, None, "memory"),
        ({"demo": DEMO}, "kept.db", "kept.db"),
        ({"demo": DEMO, "mic0": MICROPHONE}, None, None),
        ({"mic0": MICROPHONE}, None, None),
    ],
)
def test_events_of_the_demo_alone_are_stored_only_in_a_named_journal(
    sources: dict[str, SourceConfig], named: str | None, path: str | None
) -> None:
    config = Config(journal=JournalConfig(path=named))
    assert _without_demo_journal(RunConfig(config, sources, ())).config.journal.path == path

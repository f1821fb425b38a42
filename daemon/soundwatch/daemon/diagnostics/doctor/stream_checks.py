"""Check of the sources that are fetched over a network: each one has to deliver sound.

Does not: check satellites, datagrams and pipes, whose sound would be missing in a program that runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.capture import open_source, source_kind
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding

KINDS: Final = frozenset({"url", "tcp"})


def check_streams(case: CheckInput) -> Iterator[Finding]:
    """Connect to each source of an address, and wait for its first sound."""
    for name, source in case.config.sources.items() if case.config is not None and case.listens else ():
        if source_kind(source.device).name in KINDS:
            yield _connected(name, source)


def _connected(name: str, source: SourceConfig) -> Finding:
    """Report whether a source delivers sound, with the reason if not."""
    try:
        opened = open_source(name, source.device, None, source.pcm, source.certificate)
        blocks = opened.blocks()
        next(blocks, None)
        opened.stop()
        deque(blocks, maxlen=0)
    except SourceError as error:
        return Finding("streams", "fault", f"source {name}: {error}", "`soundwatch run` tries again for ever.")
    except ConfigError as error:
        return Finding("streams", "fault", f"source {name}: {error}", "Correct the source in the configuration.")
    return Finding("streams", "ok", f"source {name}: {opened.info.description} delivers sound")

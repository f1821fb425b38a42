"""Hands the journal's lines to everyone who was asked for: the sinks, and the server with its viewers.

Conventions: the first thing at a start, so that what cannot be opened is refused before a sound is heard; the last
thing at an end, so that every line has been offered to everybody.
Does not: run sinks (`outlets.py`) or the server (`web/server.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from soundwatch.daemon.config import Config
from soundwatch.daemon.errors import SinkError
from soundwatch.daemon.journal import Journal
from soundwatch.daemon.listen import Ears
from soundwatch.daemon.outlets import Outlets
from soundwatch.daemon.sinks import SERVER, Spec, Surroundings, open_sink, parse_sink
from soundwatch.daemon.store import MEMORY


@contextlib.contextmanager
def sending(
    config: Config, ears: Ears, surroundings: Surroundings, fail: Callable[[SinkError], object], log: Any
) -> Iterator[None]:
    """Hand lines on while this lasts, and all that is left at its end.

    Args:
        config: Which names them.
        ears: What lines come from.
        surroundings: What sinks may look at.
        fail: Called when nobody is left to hand anything to.
        log: The diary.

    Raises:
        SinkError: A sink cannot be opened, or has not taken lines that nothing keeps for it.
    """
    assert isinstance(ears.journal, Journal)
    journal = ears.journal
    specs = [parse_sink(text) for text in config.sinks]
    served = any(spec.kind == SERVER for spec in specs)

    def all_gone(names: str) -> None:
        if not served:  # whoever looks at the page still gets all
            fail(
                SinkError(
                    f"The reader of {names} has gone and nothing else is written to; stopping. Give a file with "
                    "-F json:PATH to keep events when a reader goes."
                )
            )

    outlets, servers = Outlets(surroundings.say, all_gone), contextlib.ExitStack()
    try:
        for spec in specs:
            if spec.kind == SERVER:
                log.info("serving", url=servers.enter_context(_server(spec, config, ears, surroundings, outlets)))
            else:
                opened = open_sink(spec, surroundings)
                outlets.add(opened.sink, journal, durable=opened.durable)
        yield
    finally:
        journal.flush()
        servers.close()
        left = outlets.close()
    for name, lines in left.items():
        if journal.store.path == MEMORY:
            raise SinkError(f"{lines} lines could not be written to {name}, and there is no journal that keeps them.")
        surroundings.say("lines are left for the next start", sink=name, lines=lines)


def _server(
    spec: Spec, config: Config, ears: Ears, surroundings: Surroundings, outlets: Outlets
) -> contextlib.AbstractContextManager[str]:
    """The server, imported only now: 15 MB that nobody else pays for."""
    from soundwatch.daemon.web.server import serving
    from soundwatch.daemon.web.view import View

    assert isinstance(ears.journal, Journal)
    view = View(
        surroundings=surroundings,
        config=config,
        contract=ears.classifier.contract,
        provider=ears.classifier.provider,
        thresholds=ears.thresholds,
        journal=ears.journal,
        sinks=outlets.look,
        clips=Path(config.clips.folder).expanduser() if config.clips.folder else None,
    )
    return serving(spec, view)

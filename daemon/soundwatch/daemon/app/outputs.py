"""Hands the journal's lines to everyone who was asked for: the sinks, and the server with its viewers.

Conventions: opened first, so that what cannot be opened is refused before a sound is heard; closed last, so that every
line has been offered to everybody.
Does not: run sinks (`sinks/dispatcher.py`) or the server (`web/server.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.location import socket_path
from soundwatch.daemon.journal.store import MEMORY
from soundwatch.daemon.sinks.context import (
    SERVER,
    OpenedSink,
    SinkConfig,
    SinkContext,
    SinkSpec,
    open_sink,
    parse_sink,
    sink_key,
)
from soundwatch.daemon.sinks.dispatcher import CLOSING_S, SinkDispatcher, SinkWorker


class OutputManager:
    """All sinks of a running program.

    Args:
        context: What all sources share now; it may be exchanged.
        config: In force; it may be exchanged.
        journal: Where lines come from.
        sink_context: What sinks may look at.
        fail: Called when nobody is left to hand anything to.
        log: The diary.
    """

    def __init__(
        self,
        context: Callable[[], EngineContext],
        config: Callable[[], Config],
        journal: Journal,
        sink_context: SinkContext,
        fail: Callable[[SinkError], object],
        log: Logger,
    ) -> None:
        self._context = context
        self._config = config
        self._journal = journal
        self._fail = fail
        self._log = log
        self._outlets = SinkDispatcher(sink_context.log, self._all_gone)
        self._sink_context = replace(sink_context, sinks=self._outlets.look)
        self._by_word: dict[str, SinkWorker] = {}
        self._servers = contextlib.ExitStack()
        self._served = False
        self._own: SinkWorker | None = None

    def open_all(self) -> None:
        """Open what the configuration names, servers last, since they show the rest.

        Raises:
            ConfigError: One of them is none, or is named twice.
            SinkError: One cannot be opened.
        """
        for text in sorted(self._config().sinks, key=lambda text: parse_sink(text).kind == SERVER):
            spec = parse_sink(text)
            if spec.kind == SERVER:
                self._served = True
                self._log.info("serving", url=self._servers.enter_context(self._server(spec)))
            else:
                self.add(text, self.opened([text])[0])
        self._open_own_socket()

    def _open_own_socket(self) -> None:
        """Let this user's programs read along beside the journal, with what is heard just now (`soundwatch tail`)."""
        path = self._journal.store.path
        if not isinstance(path, Path):
            return
        try:
            spec = SinkSpec("unix", str(socket_path(path)), {"scores": True})
            opened = open_sink(spec, self._sink_context)
        except SinkError as error:  # a system without such sockets, or a path too long for one
            self._sink_context.log.debug("there is no socket beside the journal", error=str(error))
            return
        self._own = SinkWorker(opened.sink, self._journal, durable=False, log=self._sink_context.log, gone=lambda: None)

    def opened(self, texts: Sequence[SinkConfig], gone: Sequence[SinkConfig] = ()) -> dict[int, OpenedSink]:
        """Sinks that are ready to take the place of those that will be gone, by their place; all or none.

        Raises:
            ConfigError: One of them is none, or writes where another one does.
            SinkError: One cannot be opened.
        """
        leaving = set(map(sink_key, gone))
        names = {outlet.state.name for word, outlet in self._by_word.items() if word not in leaving}
        ready: dict[int, OpenedSink] = {}
        try:
            for place, text in enumerate(texts):
                ready[place] = opened = open_sink(parse_sink(text), self._sink_context)
                _refuse_a_second(opened.sink.name, names)
        except Exception:
            for each in ready.values():
                each.sink.close()
            raise
        return ready

    def add(self, text: SinkConfig, opened: OpenedSink) -> None:
        """Begin to hand lines to a sink."""
        outlet = self._outlets.add(opened.sink, self._journal, durable=opened.durable, most=opened.most)
        self._by_word[sink_key(text)] = outlet

    def remove(self, text: SinkConfig) -> None:
        """Let a sink take what is left, and close it."""
        self._outlets.remove(self._by_word.pop(sink_key(text)))

    def close(self) -> None:
        """Let all take what is left.

        Raises:
            SinkError: A sink has not taken lines that nothing keeps for it.
        """
        self._journal.flush()
        self._servers.close()
        if self._own is not None:
            self._own.finish()
            self._own.close(CLOSING_S)
        for name, lines in self._outlets.close().items():
            if self._journal.store.path == MEMORY:
                raise SinkError(f"{lines} lines could not be written to {name}, and no journal keeps them.")
            self._sink_context.log.warning("lines are left for the next start", sink=name, lines=lines)

    def _all_gone(self, names: str) -> None:
        if not self._served:  # whoever looks at the page still gets all
            self._fail(
                SinkError(
                    f"The reader of {names} has gone and nothing else is written to; stopping. Give a file with "
                    "-F json:PATH to keep events when a reader goes."
                )
            )

    def _server(self, spec: SinkSpec) -> contextlib.AbstractContextManager[str]:
        """The server, imported only now: 15 MB that nobody else pays for."""
        from soundwatch.daemon.web.context import WebContext
        from soundwatch.daemon.web.server import serve

        folder = self._config().clips.folder
        clips = Path(folder).expanduser() if folder else None
        view = WebContext(self._sink_context, self._config, self._context, self._journal, self._outlets.look, clips)
        return serve(spec, view)


def _refuse_a_second(name: str, names: set[str]) -> None:
    """Note a sink's name.

    Raises:
        ConfigError: Another one has it: both would move the one cursor that the journal keeps for it.
    """
    if name in names:
        raise ConfigError(
            f"Two sinks write to {name}, and each place can be written to once: the journal remembers how far it has "
            "come. Leave one of them out."
        )
    names.add(name)

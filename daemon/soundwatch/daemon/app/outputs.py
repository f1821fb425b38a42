"""The outputs of a running daemon: the sinks, and the page with its viewers.

Conventions: outputs start before the sources, so that wrong words are refused before the first sound; they end last, so
that every line has been offered to each. A sink that cannot be opened does not stop the daemon: it is tried again.
Does not: run sinks (`sinks/worker.py`) or the page (`web/server.py`).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from soundwatch.daemon.app.rule_outputs import RuleOutputs, RuleTarget, prepare_rules
from soundwatch.daemon.app.sink_line import append_sink_line, failing_sinks
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.text.messages import counted
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.location import socket_path
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.kinds import is_page, parse_sink, prepare_sink, sink_key
from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.sinks.spec import PreparedSink, SinkConfig, SinkSpec
from soundwatch.daemon.sinks.worker import CLOSING_S, SinkWorker

OPENING_S: Final = 2.0  # for the first attempts, so that sockets are there when the daemon is ready


class Outputs:
    """All outputs of a running daemon.

    Args:
        view: View of the daemon.
        fail: Called when no reader is left.
    """

    def __init__(self, view: DaemonView, fail: Callable[[SinkError], object]) -> None:
        self._reported = failing_sinks(view.journal.store)
        report = partial(append_sink_line, view)
        self._dispatcher = SinkDispatcher(view.log, self._all_gone, report, self._reported)
        self._rules = RuleOutputs(view, reported=self._reported)
        self._view = replace(view, sinks=self._statuses, rules=self._rules.statuses)
        self._log = view.log
        self._journal = view.journal
        self._fail = fail
        self._workers: dict[str, SinkWorker] = {}  # by `sink_key`
        self._places: dict[str, object] = {}
        self._servers = contextlib.ExitStack()
        self._has_page = False
        self._tail_socket: SinkWorker | None = None

    def open_all(self) -> None:
        """Start the configured outputs, pages last, since they show the others.

        Raises:
            ConfigError: An output is unknown, or two have one place.
            SinkError: The page's address cannot be used.
        """
        sinks = [text for text in self._view.config().sinks if not is_page(text)]
        rules = self.prepare_rules(self._view.config())
        for text, prepared in zip(sinks, self.prepare(sinks), strict=True):
            self.add(text, prepared)
        self._rules.apply(rules)
        for name in sorted(self._reported):
            append_sink_line(self._view, SinkStatus(name, reason=f"{name} is no longer in the configuration."))
        self._reported.clear()
        self._open_tail_socket()
        until_s = time.monotonic() + OPENING_S
        for worker in self._workers.values():
            worker.wait_tried(max(0.0, until_s - time.monotonic()))
        for text in self._view.config().sinks:
            if is_page(text):
                self._has_page = True
                self._log.info("serving", url=self._servers.enter_context(self._server(parse_sink(text))))

    def _open_tail_socket(self) -> None:
        """Serve lines, scores and levels to this user's programs at the journal (`soundwatch tail`)."""
        path = self._journal.store.path
        if not isinstance(path, Path):
            return
        prepared = prepare_sink(SinkSpec("unix", str(socket_path(path)), {"scores": True, "level": True}), self._view)
        try:
            prepared.check()
        except SinkError as error:  # a system without Unix sockets
            self._log.debug("tail_socket_unavailable", reason=str(error))
            return
        self._tail_socket = SinkWorker(prepared, self._journal, self._log)
        self._tail_socket.wait_tried(OPENING_S)

    def prepare(self, texts: Sequence[SinkConfig], leaving: Sequence[SinkConfig] = ()) -> list[PreparedSink]:
        """Prepare sinks that take the place of those that leave.

        Raises:
            ConfigError: A sink is wrong, or has the place of another one.
        """
        gone = set(map(sink_key, leaving))
        names: set[object] = {worker.status.name for key, worker in self._workers.items() if key not in gone}
        places = {place for key, place in self._places.items() if key not in gone}
        return prepare_all(texts, self._view, names | places)

    def add(self, text: SinkConfig, prepared: PreparedSink) -> None:
        """Start a sink."""
        self._workers[sink_key(text)] = self._dispatcher.add(prepared, self._journal)
        self._places[sink_key(text)] = prepared.place

    def remove(self, texts: Sequence[SinkConfig]) -> None:
        """Deliver the remaining lines of some sinks, and end these sinks."""
        keys = [sink_key(text) for text in texts]
        for key in keys:
            del self._places[key]
        self._dispatcher.remove([self._workers.pop(key) for key in keys])

    def prepare_rules(self, config: Config) -> Mapping[str, RuleTarget]:
        """Prepare the destinations of the alert rules.

        Raises:
            ConfigError: A destination is wrong.
        """
        return prepare_rules(config, self._view)

    def apply_rules(self, targets: Mapping[str, RuleTarget]) -> None:
        """Replace the destinations of the alert rules; equal ones continue."""
        self._rules.apply(targets)

    def close(self) -> None:
        """Deliver the remaining lines, and end all outputs.

        Raises:
            SinkError: Lines were not delivered, and no journal keeps them.
        """
        self._journal.flush()
        self._servers.close()
        if self._tail_socket is not None:
            self._tail_socket.finish()
            self._tail_socket.close(CLOSING_S)
        for name, lines in self._rules.close().items():
            self._log.warning("lines_left_for_next_start", sink=name, lines=lines)
        for name, lines in self._dispatcher.close().items():
            if self._journal.store.path == MEMORY:
                raise SinkError(f"{counted(lines, 'line')} could not be written to {name}, and no journal keeps them.")
            self._log.warning("lines_left_for_next_start", sink=name, lines=lines)

    def _statuses(self) -> list[tuple[SinkStatus, int]]:
        """Return the status of all sinks, those of rules last."""
        return [*self._dispatcher.statuses(), *self._rules.sink_statuses()]

    def _all_gone(self, names: str) -> None:
        if not self._has_page:  # its viewers still get all lines
            self._fail(
                SinkError(
                    f"The reader of {names} has gone and nothing else is written to; stopping. Give a file with "
                    "-F json:PATH to keep events when a reader goes."
                )
            )

    def _server(self, spec: SinkSpec) -> contextlib.AbstractContextManager[str]:
        """Return the page, imported only now: 15 MB that runs without a page do not pay for."""
        from soundwatch.daemon.web.server import serve

        return serve(spec, self._view)


def prepare_all(texts: Sequence[SinkConfig], view: DaemonView, taken: Collection[object] = ()) -> list[PreparedSink]:
    """Prepare sinks, each with its own name and place.

    Args:
        texts: Sinks as the user wrote them.
        view: View of the daemon.
        taken: Names and places of other sinks.

    Raises:
        ConfigError: A sink is wrong, or has the name or the place of another one.
    """
    used, prepared = set(taken), [prepare_sink(parse_sink(text), view) for text in texts]
    for sink in prepared:
        if sink.name in used or sink.place in used:
            raise ConfigError(
                f"Two sinks write to {sink.name}, and each place can be written to once: the journal remembers how "
                "far it has come. Leave one of them out."
            )
        used |= {sink.name, sink.place}
    return prepared

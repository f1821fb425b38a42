"""Where lines go: each kind of sink, by the name that `-F` and `sinks:` give it.

Conventions: a sink is one word, `KIND[:TARGET][,KEY=VALUE...]`, on the command line and in the configuration alike;
there it may also be a mapping of `sink` and the same keys. `json` is standard output. A kind's module is imported when
it is asked for.
Does not: run sinks (`sinks/dispatcher.py`).
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.journal.entry import BATCH_LINES, JournalEntry
from soundwatch.daemon.sinks.dispatcher import SinkStatus
from soundwatch.daemon.sinks.protocols import Sink
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusSnapshot

KINDS: Final = {
    "json": ("soundwatch.daemon.sinks.file:open_json", "json (standard output), json:PATH"),
    "terminal": ("soundwatch.daemon.terminal.sink:open_terminal", "terminal (the live view)"),
    "http": ("soundwatch.daemon.web.server:serving", "http://HOST:PORT (the page, its API and metrics)"),
    "mqtt": ("soundwatch.daemon.sinks.mqtt.sink:open_mqtt", "mqtt://HOST[:PORT]"),
    "mqtts": ("soundwatch.daemon.sinks.mqtt.sink:open_mqtt", "mqtts://HOST[:PORT]"),
    "webhook": ("soundwatch.daemon.sinks.webhook:open_webhook", "webhook:URL"),
    "command": ("soundwatch.daemon.sinks.command:open_command", "command:PATH"),
    "unix": ("soundwatch.daemon.sinks.socket_server:open_unix", "unix:PATH"),
    "tcp": ("soundwatch.daemon.sinks.socket_server:open_tcp", "tcp://HOST:PORT"),
}
SERVER: Final = "http"  # it reads the journal by itself, for each of its viewers (`app/build.py`)

SinkConfig = str | Mapping[str, str | int | float | bool | None]
Options = TypeVar("Options", bound=msgspec.Struct)

_OPTION = re.compile(r",([a-z][a-z0-9_]*)=([^,]*)$")


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """A sink as it was asked for.

    Attributes:
        kind: One of `KINDS`.
        target: The rest of its word: a path, an address.
        options: Keys and values, not yet checked.
    """

    kind: str
    target: str
    options: Mapping[str, Any]

    @property
    def text(self) -> str:
        """As messages name it, without its options."""
        return f"{self.kind}:{self.target}" if self.target else self.kind


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What a sink may look at and do, besides reading lines.

    Attributes:
        node: Name of this machine.
        labels: The model's classes.
        board: Where everything stands.
        live: What is heard now.
        switch: Pauses a source (False) or listens to it again (True).
        log: The log.
        classes: Those of `labels` that are listened for just now.
        after: Lines that the journal has after a number, as many as are asked for at most.
        last_seq: Number of the journal's last line.
        sinks: How each sink does, and how many lines it has yet to take.
        journal: What tells the journal's numbers from those of another one.
        model: Name and hash of the model that listens.
        provider: What runs it.
    """

    node: str
    labels: tuple[str, ...]
    board: Callable[[], StatusSnapshot]
    live: LiveFeed
    switch: Callable[[str, bool], object]
    log: Logger
    classes: Callable[[], tuple[str, ...]] = tuple
    after: Callable[[int, int], list[JournalEntry]] = lambda _, __: []
    last_seq: Callable[[], int] = lambda: 0
    sinks: Callable[[], Sequence[tuple[SinkStatus, int]]] = tuple
    journal: str = ""
    model: Callable[[], str] = str
    provider: Callable[[], str] = str


@dataclass(frozen=True, slots=True)
class OpenedSink:
    """A sink that is ready.

    Attributes:
        sink: It.
        durable: Whether it goes on where it was after a restart.
        most: How many lines it is given at once; all of them are given again where one fails.
    """

    sink: Sink
    durable: bool
    most: int = BATCH_LINES


def parse_sink(text: SinkConfig) -> SinkSpec:
    """What a word or a mapping asks for.

    Raises:
        ConfigError: No such kind of sink.
    """
    options: dict[str, Any] = {}
    if isinstance(text, Mapping):
        options = {key: value for key, value in text.items() if key != "sink"}
        word = str(text.get("sink", ""))
    else:
        word = text
    while found := _OPTION.search(word):
        options.setdefault(found[1], found[2])
        word = word[: found.start()]
    kind, _, target = word.partition(":")
    if kind not in KINDS:
        known = "; ".join(said for _, said in KINDS.values())
        raise ConfigError(f"-F {word} names no known sink; one of these was wanted: {known}.")
    return SinkSpec(kind, target, options)


def sink_key(text: SinkConfig) -> str:
    """What tells two sinks apart, however they are written.

    Raises:
        ConfigError: It is none.
    """
    spec = parse_sink(text)
    return repr((spec.kind, spec.target, sorted((key, str(value)) for key, value in spec.options.items())))


def open_sink(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """Open a sink.

    Raises:
        ConfigError: Its target or an option is wrong.
        SinkError: It cannot be opened, and waiting would not help.
    """
    module, _, function = KINDS[spec.kind][0].partition(":")
    opened: OpenedSink = getattr(importlib.import_module(module), function)(spec, sink_context)
    return opened


def parse_options(spec: SinkSpec, type_: type[Options]) -> Options:
    """A sink's options as a record of its kind.

    Raises:
        ConfigError: One is unknown, or its value is wrong.
    """
    known: Sequence[str] = [field.encode_name for field in msgspec.structs.fields(type_)]
    for key in spec.options:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"-F {spec.text}: {key} is no option of it; {hint}known: {', '.join(known) or 'none'}.")
    try:
        return msgspec.convert(dict(spec.options), type_, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"-F {spec.text}: {error}.".replace("`$.", "`")) from error

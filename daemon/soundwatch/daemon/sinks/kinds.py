"""The table of output kinds: each kind declares its help, its reach, its port and its opener here and nowhere else.

Conventions: an output is one word, `KIND[:TARGET][,KEY=VALUE...]`, on the command line and in the configuration alike.
In the configuration, an output may also be a mapping of `sink` and options. A loader imports the module of its kind
when a sink of that kind is prepared, so that an unused kind costs no memory.
Does not: run sinks (`sinks/worker.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.network.redact import HIDDEN, OPTION
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.text.utf8 import check_utf8
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.place import SCHEME_PORTS
from soundwatch.daemon.sinks.spec import PAGE_PORT, PreparedSink, SinkConfig, SinkSpec, parse_options

Reach = Literal["local", "program", "address"]
Prepare = Callable[[SinkSpec, Any, DaemonView], PreparedSink]
Loader = Callable[[], tuple[type[msgspec.Struct], Prepare]]

_LAST_OPTION: Final = re.compile(OPTION.pattern + "$")


@dataclass(frozen=True, slots=True)
class OutputKind:
    """One kind of output.

    Attributes:
        help: Forms that `-F` accepts.
        reach: Destination of the lines: this machine, a program that may send them anywhere, or a network address.
        load: Imports the kind; returns the record of its options and the function that prepares a sink. None for the
            page, which `app/outputs.py` serves: the page reads the journal itself, once for each viewer.
        local: Place of the lines, by the target; for the reach `local` only.
        default_port: Port of an address that names none.
        listens: Whether the address is this machine's own, where others connect.
    """

    help: str
    reach: Reach
    load: Loader | None
    local: Callable[[str], str] = str
    default_port: int | None = None
    listens: bool = False


def _json() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.file import JsonOptions, prepare_json

    return JsonOptions, prepare_json


def _terminal() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.terminal.sink import TerminalOptions, prepare_terminal

    return TerminalOptions, prepare_terminal


def _mqtt() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.mqtt.options import MqttOptions
    from soundwatch.daemon.sinks.mqtt.sink import prepare_mqtt

    return MqttOptions, prepare_mqtt


def _webhook() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.webhook.settings import WebhookOptions
    from soundwatch.daemon.sinks.webhook.sink import prepare_webhook

    return WebhookOptions, prepare_webhook


def _command() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.command import CommandOptions, prepare_command

    return CommandOptions, prepare_command


def _unix() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.sockets.listeners import UnixOptions, prepare_unix

    return UnixOptions, prepare_unix


def _tcp() -> tuple[type[msgspec.Struct], Prepare]:
    from soundwatch.daemon.sinks.sockets.listeners import TcpOptions, prepare_tcp

    return TcpOptions, prepare_tcp


OUTPUT_KINDS: Final[Mapping[str, OutputKind]] = {
    "json": OutputKind(
        "json (standard output), json:PATH",
        "local",
        _json,
        local=lambda target: "a file" if target else "standard output; what reads it decides where they go",
    ),
    "terminal": OutputKind("terminal (the live view)", "local", _terminal, local=lambda _: "the terminal"),
    "http": OutputKind(
        "http://HOST:PORT (the page, its API and metrics; for TLS ,certificate=FILE,key=FILE)",
        "address",
        None,
        default_port=PAGE_PORT,
        listens=True,
    ),
    "mqtt": OutputKind("mqtt://HOST[:PORT]", "address", _mqtt, default_port=1883),
    "mqtts": OutputKind("mqtts://HOST[:PORT]", "address", _mqtt, default_port=8883),
    "webhook": OutputKind("webhook:URL", "address", _webhook),
    "command": OutputKind("command:PATH", "program", _command),
    "unix": OutputKind("unix:PATH", "local", _unix, local=lambda _: "programs on this machine"),
    "tcp": OutputKind("tcp://HOST:PORT", "address", _tcp, listens=True),
}


def parse_sink(text: SinkConfig) -> SinkSpec:
    """Parse a word or a mapping.

    Raises:
        ConfigError: The kind is missing or unknown, or the address is no URL or no UTF-8.
    """
    if isinstance(text, Mapping) and not text.get("sink"):
        raise ConfigError("A mapping in `sinks` has no key `sink`, such as json in {sink: json, scores: true}. Add it.")
    word, options = split_options(text)
    kind, colon, target = word.partition(":")
    check_utf8(word, f"-F {kind if kind in OUTPUT_KINDS else HIDDEN}: its address")
    if kind not in OUTPUT_KINDS:
        known = "; ".join(kind.help for kind in OUTPUT_KINDS.values())
        shown = f"{kind}:{HIDDEN}" if target else word  # without knowledge of the kind, any part may be a secret
        raise ConfigError(f"-F {shown} names no known sink; one of these was expected: {known}.")
    if kind == "json" and colon and target in ("", "-"):
        raise ConfigError(f"-F {word} names no file. json without a colon is standard output.")
    spec = SinkSpec(kind, target, options, OUTPUT_KINDS[kind].default_port)
    try:
        url = sink_url(spec)
        if url is not None and url.hostname:
            url.hostname.encode("idna")  # as every look-up of the name does
    except UnicodeError:
        raise ConfigError(
            f"-F {kind}: the name of its host is none: between two dots, 1 to 63 characters were expected."
        ) from None
    except ValueError:  # its text shows a part of the address, which may be a secret
        raise ConfigError(
            f"-F {kind}: its address cannot be read. Write an IPv6 address in brackets, as [::1]."
        ) from None
    return spec


def split_options(text: SinkConfig) -> tuple[str, dict[str, Any]]:
    """Split a word or a mapping into the word without options, and the options."""
    options: dict[str, Any] = {}
    word = text if isinstance(text, str) else str(text.get("sink", ""))
    if isinstance(text, Mapping):
        options = {key: value for key, value in text.items() if key != "sink"}
    while found := _LAST_OPTION.search(word):
        options.setdefault(found[1], found[2])
        word = word[: found.start()]
    return word, options


def sink_key(text: SinkConfig) -> str:
    """Return a key that is equal for equal outputs, however they are written.

    Raises:
        ConfigError: The kind is unknown.
    """
    spec = parse_sink(text)
    return repr((spec.kind, spec.target, sorted((key, str(value)) for key, value in spec.options.items())))


def sink_url(spec: SinkSpec) -> SplitResult | None:
    """Return the network address of an output; None for an output without one."""
    if OUTPUT_KINDS[spec.kind].reach != "address":
        return None
    return urlsplit(spec.target if "://" in spec.target else f"{spec.kind}://{spec.target.removeprefix('//')}")


def sink_port(spec: SinkSpec) -> int | None:
    """Return the port of an output's address, or its default; None for an output without one."""
    url = sink_url(spec)
    try:
        written = None if url is None else url.port
    except ValueError:  # no number, which preparing the sink refuses
        return None
    return written or (None if url is None else spec.default_port or SCHEME_PORTS.get(url.scheme))


def is_page(text: SinkConfig) -> bool:
    """Return whether an output is the page, which is served and not a sink.

    Raises:
        ConfigError: The kind is unknown.
    """
    return OUTPUT_KINDS[parse_sink(text).kind].load is None


def prepare_sink(spec: SinkSpec, view: DaemonView) -> PreparedSink:
    """Check a sink's words and prepare it; nothing is opened yet.

    Raises:
        ConfigError: The target or an option is wrong, or the name of a durable sink cannot be stored.
    """
    load = OUTPUT_KINDS[spec.kind].load
    if load is None:
        raise ConfigError(f"-F {spec.text} is no sink.")
    record, prepare = load()
    prepared = prepare(spec, parse_options(spec, record), view)
    if prepared.durable:
        check_utf8(prepared.name, f"-F {spec.kind}: the name {printable(prepared.name)}")
    return prepared

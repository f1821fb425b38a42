"""Hosts that a configuration names: destinations of events, sources of sound, servers of models.

Conventions: nothing is looked up. A port is the one that is written, else its scheme's; None where a protocol chooses
further ports by itself (a camera's RTSP).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink, sink_port, sink_url, split_options
from soundwatch.daemon.sinks.place import SCHEME_PORTS
from soundwatch.daemon.sinks.spec import SinkConfig

_PORTS: Final = {**SCHEME_PORTS, "triton": 8000}


@dataclass(frozen=True, slots=True)
class ConfiguredHost:
    """A host that the configuration names.

    Attributes:
        key: Place in the configuration: `sink KIND`, `rule NAME`, `source NAME` or `model.backend`.
        host: Name or address; empty for every address of this machine.
        port: None for any.
        listens: The daemon is the server, and `host` one of its own addresses.
    """

    key: str
    host: str
    port: int | None
    listens: bool


def configured_hosts(config: Config) -> Iterator[ConfiguredHost]:
    """Yield each host of a configuration, sinks first.

    Raises:
        ConfigError: A sink is not valid.
    """
    for text in config.sinks:
        kind = parse_sink(text).kind
        yield from _host_of_sink(f"sink {kind}", text, listens=OUTPUT_KINDS[kind].listens)
    for name, rule in config.rules.items():
        for text in rule.then.send if rule.enabled else ():
            if split_options(text)[0].startswith("webhook:"):
                yield from _host_of_sink(f"rule {name}", text, listens=False)
    for name, source in config.sources.items():
        yield from _host_of_url(f"source {name}", str(source.device))
    yield from _host_of_url("model.backend", config.model.backend)


def _host_of_sink(key: str, text: SinkConfig, *, listens: bool) -> Iterator[ConfiguredHost]:
    """Yield the host of a sink, if it has one."""
    spec = parse_sink(text)
    if (address := sink_url(spec)) is not None:
        yield ConfiguredHost(key, address.hostname or "", sink_port(spec), listens)


def _host_of_url(key: str, text: str) -> Iterator[ConfiguredHost]:
    """Yield the host of an address; a text without a scheme, such as a path, has none."""
    if "://" in text:
        url = urlsplit(text)
        yield ConfiguredHost(key, url.hostname or "", _port(url) or _PORTS.get(url.scheme), url.scheme == "pcm+udp")


def _port(url: SplitResult) -> int | None:
    """Return the port of the address; None for RTSP, which opens further ports."""
    try:
        return None if url.scheme.startswith("rtsp") else url.port
    except ValueError:  # no number, which opening the sink or the source refuses
        return None

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
        spec = parse_sink(text)
        if (address := sink_url(spec)) is not None:
            listens = OUTPUT_KINDS[spec.kind].listens
            yield ConfiguredHost(f"sink {spec.kind}", address.hostname or "", sink_port(spec), listens)
    for name, rule in config.rules.items():
        for text in rule.then.send if rule.enabled else ():
            if split_options(text)[0].startswith("webhook:"):
                spec = parse_sink(text)
                address = sink_url(spec)
                assert address is not None
                yield ConfiguredHost(f"rule {name}", address.hostname or "", sink_port(spec), False)
    for name, source in config.sources.items():
        url = urlsplit(str(source.device))
        if "://" in str(source.device):
            port = _port(url) or _PORTS.get(url.scheme)
            yield ConfiguredHost(f"source {name}", url.hostname or "", port, url.scheme == "pcm+udp")
    if "://" in config.model.backend:
        url = urlsplit(config.model.backend)
        yield ConfiguredHost("model.backend", url.hostname or "", _port(url) or _PORTS.get(url.scheme), False)


def _port(url: SplitResult) -> int | None:
    """Return the port of the address; None for RTSP, which opens further ports."""
    try:
        return None if url.scheme.startswith("rtsp") else url.port
    except ValueError:  # no number, which opening the sink or the source refuses
        return None

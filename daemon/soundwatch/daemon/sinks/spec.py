"""Records that every sink is made from: its specification, its options, and how it is opened.

Does not: know the kinds of sinks (`sinks/kinds.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from soundwatch.daemon.config.faults import in_yaml_words
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.network.redact import redact_sink
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.journal.entry import BATCH_LINES
from soundwatch.daemon.sinks.protocols import Sink

PAGE_PORT: Final = 8433
SinkConfig = str | Mapping[str, str | int | float | bool | None]
Options = TypeVar("Options", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class SinkSpec:
    """A sink as the user wrote it.

    Attributes:
        kind: Kind of the sink, a key of `OUTPUT_KINDS`.
        target: The part after the kind: a path, an address.
        options: Keys and values, not yet checked.
        default_port: Port of an address that names none; None for kinds without ports.
    """

    kind: str
    target: str
    options: Mapping[str, Any]
    default_port: int | None = None

    @property
    def text(self) -> str:
        """Text for messages, without options and secrets."""
        return redact_sink(f"{self.kind}:{self.target}") if self.target else self.kind


@dataclass(frozen=True, slots=True)
class PreparedSink:
    """A sink whose words are checked and that is not open yet.

    Attributes:
        name: Name in the log and in the journal's cursors: stable over restarts, and without a password.
        place: Identity of the destination; two sinks of one place would write each line twice.
        open: Opens the sink, in the sink's own thread. It may raise `SinkError` or `OSError`; it is called again later.
        check: Raises `SinkError` where `open` would, and opens nothing; for `check-config`.
        durable: Whether the sink continues at its place after a restart.
        batch_lines: Number of lines in one delivery. After a failure, those that the sink has not settled are
            delivered again; a sink that settles none gets all of them again.
    """

    name: str
    place: object
    open: Callable[[], Sink]
    check: Callable[[], object]
    durable: bool
    batch_lines: int = BATCH_LINES


def parse_options(spec: SinkSpec, record: type[Options]) -> Options:
    """Convert a sink's options to a record.

    Raises:
        ConfigError: An option is unknown, or its value is wrong.
    """
    known: Sequence[str] = [field.encode_name for field in msgspec.structs.fields(record)]
    for key in spec.options:
        if key not in known:
            hint = did_you_mean(key, known)
            raise ConfigError(f"-F {spec.text}: {key} is no option of it; {hint}known: {', '.join(known) or 'none'}.")
    try:
        return msgspec.convert(dict(spec.options), record, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"-F {spec.text}: {in_yaml_words(str(error))}.") from error

"""Selection of lines for sinks that act once for each line: a request, a program.

Conventions: types are joined by `+`, as in `types=start+end`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.events.schema import LINE_TYPES
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.spec import SinkSpec

Fields = dict[str, Any]


def matching_lines(entries: Sequence[JournalEntry], types: frozenset[str]) -> Iterator[tuple[JournalEntry, Fields]]:
    """Yield the lines of these types, each with its fields."""
    for entry in entries:
        fields: Fields = msgspec.json.decode(entry.encoded)
        if fields["type"] in types:
            yield entry, fields


def parse_types(spec: SinkSpec, text: str) -> frozenset[str]:
    """Parse the option `types`.

    Raises:
        ConfigError: A type of line is unknown.
    """
    types = text.split("+")
    for type_ in types:
        if type_ not in LINE_TYPES:
            hint = did_you_mean(type_, LINE_TYPES)
            raise ConfigError(f"-F {spec.text}: {type_} is no type of line; {hint}known: {', '.join(LINE_TYPES)}.")
    return frozenset(types)

"""Parses a URL's query into a record, as strictly as the configuration."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.web.http.parameters import Query
from soundwatch.daemon.web.http.refusal import RequestRefused

MAX_PARAMETERS: Final = 20
TIME_FORMAT: Final = "a time with its zone was expected, as 2026-11-22T08:15:00Z"
DATE_FORMAT: Final = "a day of this century was expected, as 2026-11-22"
_PATTERN: Final = re.compile(r"Expected `str` matching regex .* - at `\$\.(\w+)`")
AnyQuery = TypeVar("AnyQuery", bound=Query)


def parse_query(text: bytes, type_: type[AnyQuery]) -> AnyQuery:
    """Parse a query string.

    Raises:
        RequestRefused: A parameter is unknown, is given twice, or has a wrong value.
    """
    try:
        pairs = parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_PARAMETERS,
        )
    except ValueError:
        raise RequestRefused(
            400, f"The query is not readable: UTF-8 in %XX and at most {MAX_PARAMETERS} parameters were expected."
        ) from None
    known = [field.encode_name for field in msgspec.structs.fields(type_)]
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key not in known:
            hint = did_you_mean(key, known)
            raise RequestRefused(
                400, f"{key[:40]} is not a parameter of this query; {hint}known: {', '.join(known) or 'none'}."
            )
        if key in values:
            raise RequestRefused(400, f"{key} is given twice.")
        if "\x00" in value:
            raise RequestRefused(400, f"{key} contains a NUL character.")
        values[key] = value
    try:
        return msgspec.convert(values, type_, strict=False)
    except msgspec.ValidationError as error:
        wrong = _PATTERN.sub(
            lambda found: f"{found[1]} is wrong: {DATE_FORMAT if found[1] == 'date' else TIME_FORMAT}", str(error)
        )
        raise RequestRefused(400, f"{wrong}.".replace("`$.", "`")) from None

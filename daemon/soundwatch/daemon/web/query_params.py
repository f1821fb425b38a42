"""A URL's query as a record, checked as the configuration is."""

from __future__ import annotations

import difflib
import re
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from soundwatch.daemon.web.middleware import RequestRefused
from soundwatch.daemon.web.schemas import Query

MOST_PARTS: Final = 20
MOMENT: Final = "a time with its zone was wanted, as 2026-11-22T08:15:00Z"
Asked = TypeVar("Asked", bound=Query)


def parse_query(text: bytes, type_: type[Asked]) -> Asked:
    """A query string's record.

    Raises:
        Refusal: A part is unknown, said twice, or its value is wrong.
    """
    try:
        pairs = parse_qsl(
            text.decode("ascii"), keep_blank_values=True, encoding="utf-8", errors="strict", max_num_fields=MOST_PARTS
        )
    except ValueError:
        raise RequestRefused(
            400, f"The query is not readable: UTF-8 in %XX and at most {MOST_PARTS} parts were wanted."
        ) from None
    known = [field.encode_name for field in msgspec.structs.fields(type_)]
    parts: dict[str, Any] = {}
    for key, value in pairs:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise RequestRefused(
                400, f"{key[:40]} is no part of this query.{hint} Known: {', '.join(known) or 'none'}."
            )
        if key in parts:
            raise RequestRefused(400, f"{key} is said twice.")
        if "\x00" in value:
            raise RequestRefused(400, f"{key} has a character that no text has.")
        parts[key] = value
    try:
        return msgspec.convert(parts, type_, strict=False)
    except msgspec.ValidationError as error:
        wrong = re.sub("`str` matching regex .* - at", f"{MOMENT} - at", str(error))
        raise RequestRefused(400, f"{wrong}.".replace("`$.", "`")) from None

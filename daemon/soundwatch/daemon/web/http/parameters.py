"""Types of parameters that requests share, and the record of a refusal."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(max_length=100, pattern=r"^[^\x00]*$")]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]  # exact in JavaScript
Moment = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$",
        extra_json_schema={"format": "date-time"},
    ),
]
EventId = Annotated[str, Meta(pattern="^[0-9A-HJKMNP-TV-Z]{26}$")]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base class of queries."""


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Reason of a refusal, as a sentence."""

    error: str

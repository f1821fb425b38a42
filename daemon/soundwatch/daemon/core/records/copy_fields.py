"""Copies of records into other records that share fields with them."""

from __future__ import annotations

from typing import TypeVar

import msgspec

Record = TypeVar("Record", bound=msgspec.Struct)


def copy_fields(record: msgspec.Struct, type_: type[Record], **values: object) -> Record:
    """Return a record of a type: its fields are the given values and, for all others, equally named fields of a record.

    Raises:
        AttributeError: The record lacks a field.
    """
    return type_(
        **{name: values[name] if name in values else getattr(record, name) for name in type_.__struct_fields__}
    )

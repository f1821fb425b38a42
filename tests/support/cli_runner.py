"""The program as its users start it, and its lines held against the published schema."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import jsonschema

from soundwatch.daemon.events.schema import json_schema

SOUNDWATCH = str(Path(sys.executable).with_name("soundwatch"))


def strict_schema() -> dict[str, Any]:
    """The published schema, but with no other keys than those it names."""
    schema = json_schema()
    return schema | {"$defs": {name: part | {"additionalProperties": False} for name, part in schema["$defs"].items()}}


VALIDATOR = jsonschema.Draft202012Validator(strict_schema())


def soundwatch(
    *arguments: str | Path, env: dict[str, str] | None = None, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """Run the program to its end, and check that it shows no traceback."""
    environment = os.environ | (env or {})
    command = [SOUNDWATCH, *map(str, arguments)]
    done = cast(
        "subprocess.CompletedProcess[bytes]",
        subprocess.run(command, env=environment, check=False, **({"capture_output": True} | options)),
    )
    assert b"Traceback" not in (done.stderr or b""), done.stderr.decode()
    return done


def lines_of(text: bytes) -> list[dict[str, Any]]:
    """Every line, each of which satisfies the schema and has no number that is not one."""
    lines = [json.loads(line, parse_constant=_refuse) for line in text.decode().splitlines()]
    for line in lines:
        VALIDATOR.validate(line)
    return lines


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} in a line")


def was_overloaded(lines: list[dict[str, Any]]) -> bool:
    """Return True if a run widened its hop, since the machine was too slow for the test's sound in real time."""
    return any(line["type"] == "health" and "hop_s" in line for line in lines)

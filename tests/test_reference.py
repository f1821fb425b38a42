"""The documentation's references are the code's, and nothing of the code is left out of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
import reference
from command_reference import FOUND, codes, commands
from configuration_reference import comments
from event_reference import EVERY, events, line_schemas, type_of
from generated_regions import renewed
from type_docs import attributes, values_of

from soundwatch.daemon.cli import soundwatch as group
from soundwatch.daemon.sinks.file import JsonOptions
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS
from soundwatch.daemon.web.http.settings import HttpOptions

ROOT = Path(__file__).resolve().parents[1]
EVENTS = (ROOT / "docs" / "events.md").read_text("utf-8")
CODES = {0, 1, *FOUND, *codes()}


def test_the_references_agree_with_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(["--check"]) == 0, capsys.readouterr().err


def test_every_reference_has_its_place_in_the_pages() -> None:
    there = re.findall(
        r"^<!-- reference: ([\w-]+) -->$", "".join(p.read_text("utf-8") for p in ROOT.glob("docs/*.md")), re.M
    )
    assert sorted(there) == sorted([*line_schemas(), EVERY, "commands", "configuration", "exit-codes", "sinks"])


def test_every_value_that_a_key_may_have_is_explained() -> None:
    prose = re.sub(r"^(\| `\w+` \|)[^|\n]*\|", r"\1|", EVENTS, flags=re.M)
    values = {
        value
        for part in line_schemas().values()
        for property_ in part["properties"].values()
        for value in one_of(property_)
    }
    assert len(values) > 20
    assert {value for value in values if f"`{value}`" not in prose} == set()


def one_of(schema: dict[str, object]) -> set[str]:
    """The texts that a property may be, if they are counted up."""
    return set(re.findall(r"`([a-z_]+)`", type_of(schema))) - {"true"}


def test_a_key_without_a_description_is_an_error() -> None:
    table = re.search(r"<!-- reference: gap-line -->\n(.*?)<!-- end", EVENTS, re.S)
    assert table is not None
    with pytest.raises(
        SystemExit, match=r"gap-line: reason has no description\. Add to that table: \| `reason` \| `capture`"
    ):
        events("gap-line", re.sub(r"\| `reason` .*\n", "", table[1]))
    with pytest.raises(SystemExit, match="There is no line called gap-lime; known: every-line, hello-line"):
        events("gap-lime", "")


def test_descriptions_of_keys_and_other_text_are_kept() -> None:
    page = "before\n<!-- reference: a -->\n| `key` | old | meaning |\n<!-- end reference -->\nafter\n"
    assert renewed(page, "reference", lambda name, now: f"{name}: {now.strip()}") == page.replace(
        "| `key`", "a: | `key`"
    )
    assert renewed(page, "figures", lambda *_: "") == page


def test_comments_belong_to_the_key_under_them() -> None:
    text = "# of the file\n\n# of a,\n# in two lines\na: 1\nb:\n  # of c\n  c: 2\n  d: 3\n# of e\ne: {}\n"
    assert comments(text) == {
        ("a",): "of a, in two lines",
        ("b",): "",
        ("b", "c"): "of c",
        ("b", "d"): "of c",
        ("e",): "of e",
    }


def test_types_are_described_with_units_and_bounds() -> None:
    def told(type_: object, key: str = "") -> str:
        return values_of(msgspec.inspect.type_info(type_), key)

    assert told(Annotated[float, msgspec.Meta(gt=0, le=1)] | None, "share") == "number (above 0, at most 1) or null"
    assert told(Annotated[int, msgspec.Meta(ge=1)], "wait_s") == "seconds (1 or more)"
    assert told(dict[str, int]) == "name: whole number"
    with pytest.raises(SystemExit, match="has no description of that type"):
        told(bytes, "key")


def test_the_options_of_every_kind_of_sink_are_found_and_explained() -> None:
    records: list[type[msgspec.Struct]] = [kind.load()[0] for kind in OUTPUT_KINDS.values() if kind.load is not None]
    assert JsonOptions in records
    records.append(HttpOptions)
    for record in records:
        assert set(attributes(record)) == {field.name for field in msgspec.structs.fields(record)}


def test_the_exit_codes_are_the_same_everywhere() -> None:
    operations = (
        (ROOT / "docs" / "operations.md").read_text("utf-8").partition("## Exit codes")[2].partition("\n## ")[0]
    )
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", operations, re.M)} == CODES
    assert {int(code) for code in re.findall(r"\b(\d+) ", (group.help or "").partition("Exit codes:")[2])} == CODES


def test_every_option_of_every_command_is_in_the_reference() -> None:
    told = commands()
    assert "### soundwatch data check" in told
    assert "`--layout {urbansound8k,folders}`" in told
    assert "`-F, --sink SINK`" in told

"""Changes of values of a YAML file without any other byte changed."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.config.yaml_edit import edit_yaml
from soundwatch.daemon.core.errors import ConfigError

TEXT = """\
# mine
model:   # which
    file: "urban"   # the one
    threads: 2

sinks:
  - json      # out
shadow: {file: models/b.onnx, share: 0.5}
"""
LIST = """\
detection:
  # groups
  tags:
    # first
    - rain     # wet
    # second
    - thunder  # loud
  cooldown_s: 5.0

# The next section.
clips: {folder: null}
"""


def test_only_the_value_changes() -> None:
    text = edit_yaml(TEXT, {("model", "file"): "models/b.onnx", ("shadow", "file"): "urban"})
    assert text == TEXT.replace('"urban"', "models/b.onnx").replace("{file: models/b.onnx", "{file: urban")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "model:\n  file: x\n"),
        ("# nothing yet", "# nothing yet\nmodel:\n  file: x\n"),
        ("a: 1", "a: 1\n\nmodel:\n  file: x\n"),
        ("a: 1\r\n", "a: 1\r\n\r\nmodel:\r\n  file: x\r\n"),
        ("\ufeffa: 1\n", "\ufeffa: 1\n\nmodel:\n  file: x\n"),
        ("{a: 1}\n", "{a: 1, model: {file: x}}\n"),
        ("model:\n", "model: {file: x}\n"),
        ("model: null # yet\n", "model: {file: x} # yet\n"),
        ("model: {}\n", "model: {file: x}\n"),
        ("model: {threads: 2}\n", "model: {threads: 2, file: x}\n"),
        ("model: {threads: 2,}\n", "model: {threads: 2, file: x,}\n"),
        ("model:\n   # few\n   threads: 2 # two\n", "model:\n   # few\n   threads: 2 # two\n   file: x\n"),
        ("model:\n  threads: 2\n\n# next\na: 1\n", "model:\n  threads: 2\n  file: x\n\n# next\na: 1\n"),
        ("model:\n  file: >-\n    some\n    where\na: 1\n", "model:\n  file: x\na: 1\n"),
        ("model:\n  file:\n    # why\n    where # there\n", "model:\n  file: x\n    # why # there\n"),
        ("---\nmodel:\n  file: b\n...\n", "---\nmodel:\n  file: x\n...\n"),
    ],
)
def test_a_missing_value_is_added(text: str, wanted: str) -> None:
    changed = edit_yaml(text, {("model", "file"): "x"})
    assert changed == wanted
    assert yaml.safe_load(changed.removeprefix("\ufeff"))["model"]["file"] == "x"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (("detection", "cooldown_s"), LIST.replace("  cooldown_s: 5.0\n", "")),
        (("clips", "folder"), LIST.replace("{folder: null}", "{}")),
        (("clips",), LIST.replace("clips: {folder: null}\n", "")),
        (("detection", "update_s"), LIST),
        (("none", "there"), LIST),
    ],
)
def test_a_deleted_key_leaves_all_comments_of_others(path: tuple[str, ...], wanted: str) -> None:
    assert edit_yaml(LIST, {}, [path]) == wanted


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (["rain", "thunder", "on"], LIST.replace("# loud\n", "# loud\n    - 'on'\n")),
        (["thunder"], LIST.replace("    - rain     # wet\n", "")),
        (["rain", "wind"], LIST.replace("- thunder  #", "- wind  #")),
        (["wind"], LIST.replace("- rain ", "- wind ").replace("    - thunder  # loud\n", "")),
        (["wind", "rain", "thunder"], LIST.replace("    - rain ", "    - wind\n    - rain ")),
        (["rain", "wind", "thunder"], LIST.replace("    - thunder", "    - wind\n    - thunder")),
        (["wind", "hail", "thunder"], LIST.replace("- rain ", "- wind ").replace("    - thu", "    - hail\n    - thu")),
    ],
)  # fmt: skip
def test_items_of_a_list_keep_their_comments(value: list[str], wanted: str) -> None:
    changed = edit_yaml(LIST, {("detection", "tags"): value})
    assert yaml.safe_load(changed)["detection"]["tags"] == value
    assert changed == wanted
    crlf = edit_yaml(LIST.replace("\n", "\r\n"), {("detection", "tags"): value})
    assert crlf == wanted.replace("\n", "\r\n")


WINDOWS = """\
when:
  - from: "12:00"  # noon
    # a nap
    to: "13:00"  # one
  - {from: "22:00", to: "06:00"}  # night
"""


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ([{"from": "12:00", "to": "14:00"}, {"from": "22:00", "to": "06:00"}], WINDOWS.replace('"13:00"', "'14:00'")),
        (
            [{"from": "12:00", "until": "13:00"}, {"from": "22:00", "to": "06:00"}],
            WINDOWS.replace('to: "13', 'until: "13'),
        ),
        ([{"from": "22:00", "to": "06:00"}], "when:\n" + WINDOWS.splitlines()[-1] + "\n"),
    ],
)  # fmt: skip
def test_a_value_of_a_mapping_in_a_list_changes_alone(value: Any, wanted: str) -> None:
    assert edit_yaml(WINDOWS, {("when",): value}) == wanted


@pytest.mark.parametrize(
    ("text", "path", "value", "line"),
    [
        (LIST, ("detection", "tags"), [], 5),
        (LIST, ("detection", "tags"), ["thunder", "rain"], 7),
        (LIST, ("detection",), {"cooldown_s": 9}, 4),
        (WINDOWS, ("when",), [{"from": "12:00"}, {"from": "22:00", "to": "06:00"}], 2),
        ("a: [1, # one\n  2]\n", ("a",), [2], 1),
    ],
)
def test_a_change_that_would_lose_a_comment_is_refused(text: str, path: tuple[str, ...], value: Any, line: int) -> None:
    with pytest.raises(
        ConfigError, match=rf"{path[0]}.* would lose the comment in line {line}\. Change the file by hand"
    ):
        edit_yaml(text, {path: value})


def test_a_number_sign_in_a_text_is_no_comment() -> None:
    text = "a: [\"x # y\", 'p # q', r#s]\nb: |\n  # not one\nc: 1\n"
    assert yaml.safe_load(edit_yaml(text, {("a",): 1, ("b",): 2}, [("c",)])) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a: &x {b: 1}\nc: *x\n", ("c", "b")),
        ("a: &x {b: 1}\nc: *x\n", ("c",)),
        ("a: &x {b: 1}\nc: *x\n", ("a", "b")),
        ("a: &x 1\nc: *x\n", ("a",)),
        ("a: {b: &x 1}\nc: *x\n", ("a", "b")),
    ],
)
def test_a_change_that_another_key_shares_is_refused(text: str, path: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="Change the file by hand"):
        edit_yaml(text, {path: 5})


def test_a_key_of_a_merged_mapping_is_overridden() -> None:
    text = "base: &x {b: 1, d: 2}\nc:\n  <<: *x\n  e: 3\n"
    changed = yaml.safe_load(edit_yaml(text, {("c", "b"): 5}))
    assert changed == {"base": {"b": 1, "d": 2}, "c": {"b": 5, "d": 2, "e": 3}}


def test_a_key_that_appears_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="appears twice"):
        edit_yaml("a: 1\na: 2\n", {("a",): 3})


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=2), max_leaves=4
)


@given(WORDS, VALUES, st.sampled_from(["a", "b c", "{d}", "#", ["e", "f"]]), st.booleans())
def test_any_value_is_read_back_unchanged(name: str, value: Any, old: Any, crlf: bool) -> None:
    for flow in (False, True):
        text = yaml.safe_dump({"model": {"file": old, "threads": 2}}, default_flow_style=flow)
        if crlf:
            text = text.replace("\n", "\r\n")
        changed = yaml.safe_load(edit_yaml(text, {("model", "file"): value, ("more", name): value}))
        assert changed == {"model": {"file": value, "threads": 2}, "more": {name: value}}

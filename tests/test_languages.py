"""The catalogues of languages: complete, without unused texts, and with equal placeholders."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final, get_args

import msgspec
import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.keys import config_keys, is_protected
from soundwatch.daemon.config.place import DAYS, PlaceConfig
from soundwatch.daemon.config.rules import GROUPS, Fault, RuleConfig
from soundwatch.daemon.core.languages.date_text import MONTHS, SHORT_WEEKDAYS, WEEKDAYS
from soundwatch.daemon.core.languages.language import FOLDER, LANGUAGES, Language, catalogue, sound_name
from soundwatch.daemon.core.records.source import AudioFault
from soundwatch.daemon.detection.calibration import NOT_CALIBRATED
from soundwatch.daemon.events.schema import ClipRefusal
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.rules.message import sample_message
from soundwatch.daemon.sinks.protocols import SinkState
from soundwatch.daemon.sinks.webhook.templates import load_template
from soundwatch.daemon.web.api.responses import SILENT_STATES
from support.page_texts import dynamic_calls, html_texts, placeholders, plural_texts, script_texts

DAEMON: Final = Path(__file__).resolve().parents[1] / "daemon" / "soundwatch" / "daemon"
CODE: Final = re.compile("`[^`]*`|\\{[a-z_]+: [^}]*\\}|[$][a-z]+")
OTHERS = tuple(language for language in LANGUAGES if language != "en")


def forms(text: str | dict[str, str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text.values())


def test_each_catalogue_is_a_language_of_the_configuration() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(LANGUAGES) == set(get_args(Language))


def test_each_text_of_the_page_is_a_literal() -> None:
    assert dynamic_calls() == []


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_of_the_page_is_missing_or_unused(language: Language) -> None:
    used = script_texts() | html_texts()
    found = catalogue(language).texts
    assert len(used) > 150, "the search finds the texts"
    assert {text: used[text] for text in used.keys() - found.keys()} == {}, "missing"
    assert found.keys() - used.keys() == set(), "unused"


def test_the_page_and_doctor_have_one_sentence_for_a_microphone_without_a_calibration() -> None:
    assert NOT_CALIBRATED in script_texts()


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_and_plural_forms_agree(language: Language) -> None:
    texts = catalogue(language).texts
    for text, found in texts.items():
        for form in forms(found):
            assert placeholders(form) == placeholders(text), form
        if isinstance(found, dict):
            assert found.keys() == {"one", "other"}, text
            assert text in plural_texts(), text
    for text, found in catalogue(language).messages.items():
        for form in forms(found):
            assert placeholders(form) == placeholders(text), form
        assert isinstance(found, str) or ("{n}" in text and found.keys() == {"one", "other"}), text


def test_english_has_a_singular_for_each_text_that_has_one_in_german() -> None:
    for part in ("texts", "messages"):
        plural = {text for text, found in getattr(catalogue("de"), part).items() if isinstance(found, dict)}
        assert getattr(catalogue("en"), part).keys() == plural
    assert catalogue("en").names == {}


@pytest.mark.parametrize("language", OTHERS)
def test_classes_tags_faults_states_and_days_have_names_and_nothing_else_has(language: Language) -> None:
    contract = load_classifier(Config()).contract
    words = {*get_args(AudioFault), *get_args(Fault), *get_args(ClipRefusal), *get_args(SinkState)}
    used = {*contract.labels, *contract.tags, "loud", "silence", *words, *GROUPS, *DAYS, *SILENT_STATES}
    used |= {"sunrise", "sunset", *MONTHS, *WEEKDAYS, *SHORT_WEEKDAYS}
    assert catalogue(language).names.keys() == used
    assert sound_name("dog_bark", language) != "dog bark"
    assert sound_name("my_class", language) == "my class"


@cache
def message_texts() -> set[str]:
    """Return the texts that the daemon passes to `translated`."""
    found = set()
    for path in DAEMON.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("translated", "Sentence")
            ):
                assert isinstance(node.args[0], ast.Constant), f"{path}: the text is no literal"
                found.add(str(node.args[0].value))
    return found


@pytest.mark.parametrize("language", OTHERS)
def test_no_text_of_a_message_is_missing_or_unused(language: Language) -> None:
    used = message_texts()
    assert len(used) > 8, "the search finds the texts"
    assert catalogue(language).messages.keys() == used


def test_a_message_of_a_rule_and_of_a_webhook_is_in_the_language_of_the_place() -> None:
    fields = {"type": "start", "class": "dog_bark", "source": "yard", "node": "balcony", "score": 0.9}
    line = msgspec.json.encode(fields | {"onset": "2026-11-22T08:15:02.418Z"}) + b"\n"
    place = PlaceConfig(time_zone="UTC", language="de")
    message = sample_message("dog", RuleConfig(), line, place, 1_795_335_302.0)
    assert message.title == "Test: Hundegebell"
    assert message.body.startswith("Test der Regel dog: Hundegebell, yard (balcony): seit ")
    body = load_template("ntfy", "UTC", "ja").render(JournalEntry(1, line), msgspec.json.decode(line), 1_795_335_302.0)
    assert body.decode().startswith("yard (balcony)で")
    assert "犬の吠え声" in body.decode()


@pytest.mark.parametrize("language", OTHERS)
def test_texts_of_settings_are_those_of_the_configuration_with_their_code(language: Language) -> None:
    texts = {text for key in config_keys() for text in (key.text, key.values)}
    found = catalogue(language).settings
    assert found.keys() == catalogue("de").settings.keys() <= texts
    for text, form in found.items():
        assert form.strip(), text
        assert sorted(CODE.findall(form)) == sorted(CODE.findall(text)), form


def test_most_settings_that_the_page_can_change_have_texts_in_every_language() -> None:
    texts = {key.text for key in config_keys() if not is_protected(key.path)}
    translated = texts & catalogue("de").settings.keys()
    assert len(translated) > 0.8 * len(texts), "translate config.yaml's comments in core/languages/*.json, `settings`"


def test_a_french_line_does_not_break_before_its_punctuation() -> None:
    parts = catalogue("fr")
    for part in (parts.texts, parts.messages, parts.names, parts.settings):
        for found in part.values():
            for form in forms(found):
                assert not re.search(" [:;?!»]", form), form

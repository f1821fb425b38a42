"""The catalogues of languages: complete, without unused texts, and with equal placeholders."""

from __future__ import annotations

from typing import get_args

import pytest

from soundwatch.daemon.core.config import Config, ModelConfig
from soundwatch.daemon.core.language import FOLDER, LANGUAGES, Language, catalogue, sound_name
from soundwatch.daemon.core.rules_config import Fault
from soundwatch.daemon.core.source import AudioFault
from soundwatch.daemon.events.schema import ClipRefusal
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.sinks.protocols import SinkState
from support.page_texts import dynamic_calls, html_texts, placeholders, plural_texts, script_texts

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


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_and_plural_forms_agree(language: Language) -> None:
    texts = catalogue(language).texts
    for text, found in texts.items():
        for form in forms(found):
            assert placeholders(form) == placeholders(text), form
        if isinstance(found, dict):
            assert found.keys() == {"one", "other"}, text
            assert text in plural_texts(), text
    for text, form in catalogue(language).messages.items():
        assert placeholders(form) == placeholders(text), form


def test_english_has_a_singular_for_each_text_that_has_one_in_german() -> None:
    plural = {text for text, found in catalogue("de").texts.items() if isinstance(found, dict)}
    assert catalogue("en").texts.keys() == plural
    assert catalogue("en").names == {}


@pytest.mark.parametrize("language", OTHERS)
def test_classes_tags_faults_and_states_have_names_and_nothing_else_has(language: Language) -> None:
    contract = load_classifier(ModelConfig(), Config().detection.tags).contract
    words = {*get_args(AudioFault), *get_args(Fault), *get_args(ClipRefusal), *get_args(SinkState)}
    used = {*contract.labels, *contract.tags, "loud", "silence", *words}
    assert catalogue(language).names.keys() == used
    assert sound_name("dog_bark", language) != "dog bark"
    assert sound_name("my_class", language) == "my class"

"""Sentences in several languages."""

from __future__ import annotations

import pickle

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.languages.language import (
    Language,
    Sentence,
    error_text,
    in_language,
    number_text,
    translated,
)


def test_a_sentence_is_english_text_and_is_shown_in_other_languages() -> None:
    sentence = Sentence("{source} delivers no sound now.", source="yard")
    assert str(ConfigError(sentence)) == "yard delivers no sound now."
    assert in_language(sentence, "de") == "yard liefert gerade keinen Ton."
    assert type(in_language(sentence, "en")) is str, "the encoder of JSON takes plain text only"
    assert in_language("as it is {x}", "de") == "as it is {x}"


def test_a_sentence_within_a_sentence_is_in_its_language() -> None:
    inner = Sentence(
        "Invalid enum value {value} - at `{key}`. Choose one of these: {choices}.",
        value="'{x}'",
        key="log.level",
        choices="debug, info",
    )
    error = ConfigError(Sentence("{path}: {reason}", path="a.yaml", reason=inner))
    assert str(error) == "a.yaml: Invalid enum value '{x}' - at `log.level`. Choose one of these: debug, info."
    assert in_language(error_text(error), "fr") == (
        "a.yaml\N{NO-BREAK SPACE}: '{x}' n’est pas une valeur possible de `log.level`. "
        "Valeurs possibles\N{NO-BREAK SPACE}: debug, info."
    )
    assert in_language(error_text(ConfigError("plain")), "fr") == "plain"


@pytest.mark.parametrize(
    ("language", "count", "text"),
    [
        ("en", 1, "1 day"),
        ("en", 0, "0 days"),
        ("fr", 0, "0 jour"),
        ("fr", 1500, "1\u202f500 jours"),
        ("de", 1500, "1.500 Tagen"),
        ("ja", 1, "1日"),
    ],
)
def test_a_count_has_the_plural_form_and_the_separators_of_its_language(
    language: Language, count: int, text: str
) -> None:
    assert translated("{n} days", language, n=count) == text


@pytest.mark.parametrize(
    ("language", "text"),
    [("en", "-1,234.5"), ("de", "-1.234,5"), ("es", "-1234,5"), ("fr", "-1\u202f234,5"), ("ja", "-1,234.5")],
)
def test_a_number_has_the_separators_of_its_language(language: Language, text: str) -> None:
    assert number_text("-1,234.5", language) == text


def test_spanish_groups_five_digits_and_more() -> None:
    assert number_text("12,345", "es") == "12.345"
    assert number_text("1,234,567", "es") == "1.234.567"


def test_a_sentence_keeps_its_language_across_processes() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(Sentence("{source} delivers no sound now.", source="a{b}"))))  # noqa: S301
    assert str(error) == "a{b} delivers no sound now."
    assert in_language(error_text(error), "de") == "a{b} liefert gerade keinen Ton."

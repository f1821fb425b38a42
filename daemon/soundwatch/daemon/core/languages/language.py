"""The languages of texts for people: the page, sentences of the API, names of classes, messages of rules and webhooks.

Conventions: texts in the code are English and are the keys of the catalogues, `CODE.json`. A catalogue has
`texts` (those of the page), `messages` (those of the daemon), `names` (classes, tags, faults, states, days) and
`settings` (texts of configuration keys; some may be missing). A text with a number `n` has a form for each plural
category of Unicode's CLDR; `{name}` is a placeholder in all forms. Numbers in sentences have the separators of the
language.
Does not: translate the log, lines, the command line, or reasons that a device, a program or a server gave.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

FOLDER: Final = Path(__file__).parent
Language = Literal["en", "de", "es", "fr", "nl", "ja"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "de", "es", "fr", "nl", "ja")
_SEPARATORS: Final[
    Mapping[Language, Mapping[str, str | int | None]]
] = {  # of thousands and of decimals, instead of the English ones
    "de": {",": ".", ".": ","},
    "es": {",": ".", ".": ","},
    "fr": {",": "\N{NARROW NO-BREAK SPACE}", ".": ","},
    "nl": {",": ".", ".": ","},
}
_FOUR_DIGITS: Final = re.compile(r"[+-]?\d,\d{3}(?!,)")


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts of one language.

    Attributes:
        texts: Texts of the page; a text, or its plural forms by category.
        messages: Texts of the daemon, in the same form.
        names: Names of classes, tags, faults, states and days.
        settings: Texts of configuration keys, and of the values that they take.
    """

    texts: dict[str, str | dict[str, str]] = {}
    messages: dict[str, str | dict[str, str]] = {}
    names: dict[str, str] = {}
    settings: dict[str, str] = {}


class Sentence(str):
    """English sentence of the daemon that can be shown in other languages.

    Args:
        template: The English text, a literal, which is the key of the catalogues.
        values: Values of the placeholders; `n` selects the plural form.
    """

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, **values: object) -> Sentence:
        """Return the sentence, whose text is the English one."""
        made = super().__new__(cls, _render(template, "en", values))
        made.template, made.values = template, values
        return made

    def with_values(self, **values: object) -> Sentence:
        """Return the sentence with other values of some placeholders."""
        return type(self)(self.template, **{**self.values, **values})

    def in_language(self, language: Language) -> str:
        """Return the sentence in a language, with sentences among its values in that language."""
        return _render(self.template, language, self.values)


@functools.cache
def catalogue(language: Language) -> Catalogue:
    """Return the catalogue of a language; the English one has plural forms only."""
    return msgspec.json.decode((FOLDER / f"{language}.json").read_bytes(), type=Catalogue)


def sound_name(name: str, language: Language) -> str:
    """Return the name of a class, a tag, a fault or a state for people."""
    return catalogue(language).names.get(name, name.replace("_", " "))


def translated(text: str, language: Language, **values: object) -> str:
    """Return a text of the daemon in a language.

    Args:
        text: The English text, a literal, which is the key of the catalogues.
        language: The language.
        values: Values of the placeholders; `n` selects the plural form.
    """
    return _render(text, language, values)


def in_language(text: str, language: Language) -> str:
    """Return a text in a language where it is a `Sentence`; other texts stay as they are."""
    return text.in_language(language) if isinstance(text, Sentence) else str(text)


def number_text(english: str, language: Language) -> str:
    """Return a number such as `1,234.5` with the separators of a language; Spanish does not group four digits."""
    if language == "es" and _FOUR_DIGITS.match(english):
        english = english.replace(",", "")
    return english.translate(str.maketrans(dict(_SEPARATORS.get(language, {}))))


def error_text(error: Exception) -> str:
    """Return the text of an error, as a `Sentence` where it was raised with one."""
    return error.args[0] if error.args and isinstance(error.args[0], Sentence) else str(error)


def _render(text: str, language: Language, values: Mapping[str, object]) -> str:
    form = catalogue(language).messages.get(text, text)
    if not isinstance(form, str):
        form = form.get(_plural_category(language, values["n"]), form["other"])
    shown = {name: _value_text(value, language) for name, value in values.items()}
    return form.format(**shown) if values else form


def _value_text(value: object, language: Language) -> str:
    if isinstance(value, str):
        return in_language(value, language)
    if isinstance(value, int | float):
        return number_text(f"{value:,}" if isinstance(value, int) else f"{value:g}", language)
    return str(value)


def _plural_category(language: Language, count: object) -> str:
    """Return the CLDR category of a whole number: French counts 0 as one."""
    if language == "fr":
        return "one" if count in (0, 1) else "other"
    return "one" if count == 1 else "other"

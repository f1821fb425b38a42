"""The languages of texts for people: the page, names of classes, and messages of rules and webhooks.

Conventions: texts in the code are English and are the keys of the catalogues, `languages/CODE.json`. A catalogue has
`texts` (those of the page), `messages` (those of notifications) and `names` (classes, tags, faults and states). A text
with a number has a form for each plural category of Unicode's CLDR; `{name}` is a placeholder in all forms.
Does not: translate errors, the log, or the texts of configuration keys, which are English.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Final, Literal

import msgspec

FOLDER: Final = Path(__file__).with_name("languages")
Language = Literal["en", "de", "es", "fr", "nl", "ja"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "de", "es", "fr", "nl", "ja")


class Catalogue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts of one language.

    Attributes:
        texts: Texts of the page; a text, or its plural forms by category.
        messages: Texts of notifications.
        names: Names of classes, tags, faults and states.
    """

    texts: dict[str, str | dict[str, str]] = {}
    messages: dict[str, str] = {}
    names: dict[str, str] = {}


@functools.cache
def catalogue(language: Language) -> Catalogue:
    """Return the catalogue of a language; the English one has plural forms only."""
    return msgspec.json.decode((FOLDER / f"{language}.json").read_bytes(), type=Catalogue)


def sound_name(name: str, language: Language = "en") -> str:
    """Return the name of a class, a tag, a fault or a state for people."""
    return catalogue(language).names.get(name, name.replace("_", " "))


def translated(text: str, language: Language = "en", **values: object) -> str:
    """Return a text of a notification in a language.

    Args:
        text: The English text, a literal, which is the key of the catalogues.
        language: The language.
        values: Values of the placeholders.
    """
    return catalogue(language).messages.get(text, text).format(**values)

"""Dates for people in the languages of `core/languages/language.py`.

Conventions: the catalogues have the names of months and days as `names`; English ones are their keys.
"""

from __future__ import annotations

from datetime import date
from typing import Final

from soundwatch.daemon.core.languages.language import Language, sound_name, translated

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SHORT_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def date_text(day: date, language: Language, *, weekday: bool = False) -> str:
    """Return a date such as `22 November 2026`, with `weekday` as `Sunday, 22 November 2026`."""
    values = {"day": str(day.day), "month": sound_name(MONTHS[day.month - 1], language), "year": str(day.year)}
    if not weekday:
        return translated("{day} {month} {year}", language, **values)
    name = sound_name(WEEKDAYS[day.weekday()], language)
    return translated("{weekday}, {day} {month} {year}", language, weekday=name, **values)

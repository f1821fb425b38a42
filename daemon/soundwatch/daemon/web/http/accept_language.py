"""The language of sentences in a response, from the request's `Accept-Language`.

Conventions: the page sends its own language; a client without the header gets English.
Source: RFC 9110 section 12.5.4; a region, as in `de-AT`, is ignored.
"""

from __future__ import annotations

from starlette.datastructures import Headers

from soundwatch.daemon.core.languages.language import LANGUAGES, Language


def wanted_language(headers: Headers) -> Language:
    """Return the most wanted language that has a catalogue; English if none has."""
    wanted = [part.partition(";") for part in headers.get("accept-language", "").split(",")]
    for tag, _, weight in sorted(wanted, key=lambda part: -_quality(part[2])):
        code = tag.strip().lower().partition("-")[0]
        for language in LANGUAGES:
            if code == language and _quality(weight) > 0:
                return language
    return "en"


def _quality(parameter: str) -> float:
    """Return the weight of a language, 0 to 1; 1 for none, 0 for one that is no number."""
    name, _, value = parameter.strip().partition("=")
    try:
        return 1.0 if not name else min(1.0, max(0.0, float(value)))
    except ValueError:
        return 0.0

"""The language that a request asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest
from starlette.datastructures import Headers

from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.web.http.accept_language import wanted_language
from support.web_harness import RULES, Site, a_site

GERMAN: Final = {"accept-language": "de-DE,de;q=0.9"}


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("de", "de"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("sv, FR;q=0.4, nl;q=0.7", "nl"),
        ("en-US,en;q=0.9,de;q=0.1", "en"),
        ("sv", "en"),
        ("*", "en"),
        ("de;q=0", "en"),
        ("de;q=much, ja;q=0.1", "ja"),
        (",;q=1,;=,", "en"),
        ("", "en"),
    ],
)
def test_the_most_wanted_language_with_a_catalogue_is_used(header: str, language: str) -> None:
    assert wanted_language(Headers({"accept-language": header})) == language


def test_a_client_without_the_header_gets_english() -> None:
    assert wanted_language(Headers({})) == "en"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site(sinks=[(SinkStatus("mqtt:a", "failing", "no route"), 2)], rules=RULES) as running:
        yield running


def test_sentences_of_rules_and_problems_are_in_the_language_of_the_request(site: Site) -> None:
    rules, health = site.get("/api/rules", headers=GERMAN).json()["rules"], site.get("/api/health", headers=GERMAN)
    assert rules[0]["sentence"].startswith("Sirene, von Sonnenuntergang bis Sonnenaufgang: Nachricht mit Aufnahme. ")
    assert "mqtt:a gestört: no route" in health.json()["problems"]
    assert site.get("/api/rules").json()["rules"][1]["sentence"].startswith("Dog bark: a message. ")
    assert "mqtt:a is failing: no route" in site.get("/api/health").json()["problems"]


def test_a_refusal_is_in_the_language_of_the_request(site: Site) -> None:
    absent = "/api/events/AAAAAAAAAAAAAAAAAAAAAAAAAA"
    assert site.get(absent).json()["error"] == "No event has this id; the journal may have deleted it."
    refused = site.get(absent, headers=GERMAN)
    assert refused.status_code == 404
    assert refused.json()["error"] == "Kein Ereignis hat diese Id; das Journal hat es vielleicht gelöscht."
    assert site.get("/api/settings/keys", headers=GERMAN).json()["problem"].startswith("Einstellungen können nur mit")

"""The texts of the page: those that its scripts pass to `t`, and those of its HTML files."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from soundwatch.daemon.web.static_files import STATIC

SILENT = ("script", "title", "noscript", "style")
UNTRANSLATED = {"soundwatch"}
CALL = re.compile(r'\bt\(\s*"((?:[^"\\]|\\.)*)"')
DYNAMIC = re.compile(r"\bt\(\s*(?!\")[^)\s]")


def script_texts() -> dict[str, str]:
    """Return each text, and the file that has it."""
    return {
        text.encode().decode("unicode_escape").encode("latin-1").decode() if "\\" in text else text: path.name
        for path in sorted(STATIC.glob("*.js"))
        for text in CALL.findall(path.read_text("utf-8"))
    }


def dynamic_calls() -> list[str]:
    """Return the calls of `t` without a literal, which no test can check."""
    return [
        f"{path.name}: {line.strip()}"
        for path in sorted(STATIC.glob("*.js"))
        for line in path.read_text("utf-8").splitlines()
        if DYNAMIC.search(line) and path.name != "language.js"
    ]


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "link", "img", "input"):
            self._within.append(tag)
        for name, value in attrs:
            if name in ("aria-label", "placeholder", "title") and value:
                self.found.add(value)

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not set(SILENT) & set(self._within) and re.search("[A-Za-z]", data):
            self.found.add(data.strip())


def html_texts() -> dict[str, str]:
    """Return each text, and the file that has it."""
    found: dict[str, str] = {}
    for path in sorted(STATIC.glob("*.html")):
        parser = _Texts()
        parser.feed(path.read_text("utf-8"))
        found |= dict.fromkeys(parser.found - UNTRANSLATED, path.name)
    return found


def plural_texts() -> set[str]:
    """Return the texts whose form depends on a number `n`."""
    calls = (path.read_text("utf-8") for path in sorted(STATIC.glob("*.js")))
    return {text for source in calls for text in CALL.findall(source) if "{n}" in text}


def placeholders(text: str) -> set[str]:
    """Return the names of the placeholders."""
    return set(re.findall(r"\{(\w+)\}", text))

"""The documentation's site is built without a warning, leaves no page out, and needs nothing from the internet."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from support.browser import a_browser, skip_without_chromium

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("docs", "scripts", "daemon", "training", "export", "benchmarks")
WCAG = {
    "runOnly": ["wcag2a", "wcag2aa"],
    "rules": {"scrollable-region-focusable": {"enabled": False}},  # browsers let the keyboard reach what scrolls
}
FROM_ELSEWHERE = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\s>]*"
    r"|<link\b[^>]*\bhref=[\"']?(?:https?:)?//[^>]*"
    r"|(?:url\(|@import )[\"']?(?:https?:)?//[^)]*"
)


def build(project: Path, site: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    nowhere = "http://127.0.0.1:9"  # no build may fetch anything
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "http_proxy": nowhere, "https_proxy": nowhere}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of all that the site is made of, to break."""
    copy = tmp_path / "project"
    for name in NEEDED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    return copy


def test_every_page_of_the_documentation_is_in_the_site_and_is_found_by_its_search(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in ROOT.glob("docs/**/*.md")}
    pages = {page.replace("README.html", "index.html") for page in pages}
    assert {page for page in pages if not (site / page).is_file()} == set()
    index = json.loads((site / "search" / "search_index.js").read_text("utf-8").removeprefix("var __index = "))
    assert pages <= {entry["location"].partition("#")[0] or "index.html" for entry in index["docs"]}


def test_the_page_for_the_browser_is_in_the_site_with_the_runtime_that_is_there(site: Path) -> None:
    placed = {path.name for path in (site / "browser").rglob("*") if path.is_file()}
    assert {path.name for path in (ROOT / "docs" / "browser").iterdir()} <= placed
    if (ROOT / ".venv" / "browser.stamp").exists():
        assert {"waveform.onnx", "waveform.json", "ort.wasm.min.mjs", "ort-wasm-simd-threaded.wasm"} <= placed


def test_reading_the_site_fetches_nothing_from_elsewhere(site: Path) -> None:
    read = [path for kind in ("html", "css") for path in site.rglob(f"*.{kind}")]
    assert len(read) > 20
    assert {found for path in read for found in FROM_ELSEWHERE.findall(path.read_text("utf-8"))} == set()


def a_page(browser: Browser, scheme: Literal["light", "dark"], width: int) -> Page:
    viewport = ViewportSize(width=width, height=844)
    return browser.new_context(color_scheme=scheme, viewport=viewport, offline=True).new_page()


def note_url(urls: list[str], request: Request) -> None:
    urls.append(request.url)


def test_the_site_is_read_and_searched_from_a_folder_without_a_network(site: Path) -> None:
    skip_without_chromium()
    with a_browser() as browser:
        sizes: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 390))
        for scheme, width in sizes:
            page = a_page(browser, scheme, width)
            asked: list[str] = []
            page.on("request", partial(note_url, asked))
            for name in ("index", "start", "extending"):
                page.goto(f"file://{site}/{name}.html")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
                found = Axe().run(page, options=WCAG)
                assert found.violations_count == 0, f"{name}, {scheme}, {width}: {found.generate_report()}"
            if width > 1000:
                page.get_by_label("Search").first.fill("confirm_windows")
                expect(page.locator(".md-search-result__item").first).to_contain_text("windows", timeout=60_000)
            assert {url.partition(":")[0] for url in asked} <= {"file", "data", "blob"}


def test_a_forgotten_page_and_each_kind_of_broken_link_fails_the_build(project: Path) -> None:
    (project / "docs" / "forgotten.md").write_text("# A page that no table leads to\n")
    with (project / "docs" / "index.md").open("a") as file:
        file.write("\n[page](nowhere.md) [file](../nowhere.py) [heading](events.md#of-no-such-name)\n")
    done = build(project, project / "site")
    assert done.returncode != 0
    for complaint in ("forgotten.md", "'nowhere.md'", "nowhere.py", "'#of-no-such-name'"):
        assert complaint in done.stderr

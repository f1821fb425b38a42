"""The page docs/browser scores the browser's microphone, with nothing but the files of its own site."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
import soundfile
import soxr
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, ViewportSize, expect

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.inference.classifier import load_classifier_file, resolve_model
from soundwatch.export.waveform.export import describe, to_waveform_onnx
from support.browser import a_browser, complaints_of, skip_without_chromium

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / ".venv" / "node" / "node_modules" / "onnxruntime-web" / "dist"
PATIENT_MS = 120_000
WCAG = {"runOnly": ["wcag2a", "wcag2aa"]}


class Quiet(SimpleHTTPRequestHandler):
    """A web server of files without a log."""

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002  # the name of the base class
        """Write nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser whose microphone plays the siren of the demo scene again and again."""
    skip_without_chromium()
    scene = demo_scene(44_100, 15.0)[0, 4 * 44_100 : 14 * 44_100]
    recording = tmp_path_factory.mktemp("microphone") / "siren.wav"
    soundfile.write(recording, soxr.resample(scene, 44_100, 48_000), 48_000, subtype="PCM_16")
    options = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={recording}")
    with a_browser(*options) as browser:
        yield browser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the default model, and with the runtime where it is there."""
    folder = tmp_path_factory.mktemp("site") / "browser"
    shutil.copytree(ROOT / "docs" / "browser", folder)
    shutil.copytree(ROOT / "docs" / "site", folder.with_name("site"))
    contract = load_classifier_file("urban", "cpu").contract
    (folder / "model").mkdir()
    network = onnx.load(resolve_model("urban"))
    (folder / "model" / "waveform.onnx").write_bytes(to_waveform_onnx(network, contract, 16_000))
    (folder / "model" / "waveform.json").write_text(json.dumps(describe(contract, 16_000)), encoding="utf-8")
    if RUNTIME.is_dir():
        shutil.copytree(RUNTIME, folder / "runtime", ignore=shutil.ignore_patterns("*.map", "*jsep*", "*webg*"))
    return folder


def opened(
    browser: Browser, address: str, scheme: Literal["light", "dark"] = "light", width: int = 1024, **context: Any
) -> tuple[Page, list[str], list[str]]:
    """The page, the addresses that it asks for, and the console's complaints."""
    opened = browser.new_context(color_scheme=scheme, viewport=ViewportSize(width=width, height=844), **context)
    page = opened.new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    opened.on("request", note)
    complaints = complaints_of(page)
    page.goto(f"{address}/browser/index.html")
    return page, asked, complaints


def state(page: Page, name: str) -> None:
    """Wait for a state of the page."""
    expect(page.locator("body")).to_have_attribute("data-state", name, timeout=PATIENT_MS)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1024), ("dark", 390)])
def test_a_siren_at_the_microphone_has_the_highest_score(
    browser: Browser, site: Path, scheme: Literal["light", "dark"], width: int
) -> None:
    if not RUNTIME.is_dir():
        pytest.skip("there is no onnxruntime-web: sh scripts/browser-files, which needs npm")
    with served(site.parent) as address:
        page, asked, complaints = opened(browser, address, scheme, width, permissions=["microphone"])
        page.get_by_role("button", name="Start").click()
        state(page, "listening")
        expect(page.locator("#scores .best .name")).to_have_text("siren", timeout=PATIENT_MS)
        expect(page.locator("#scores li.over .name")).to_have_text(["siren"], timeout=PATIENT_MS)
        expect(page.locator("#level-text")).to_contain_text("dBFS")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        found = Axe().run(page, options=WCAG)
        assert found.violations_count == 0, found.generate_report()
        page.get_by_role("button", name="Stop").click()
        state(page, "stopped")
        assert [url for url in asked if not url.startswith(f"{address}/")] == []
        assert complaints == []


def test_a_refused_microphone_is_named_with_what_to_do(browser: Browser, site: Path) -> None:
    with served(site.parent) as address:
        page, _, _ = opened(browser, address)
        state(page, "ready")
        page.get_by_role("button", name="Start").click()
        state(page, "refused")
        expect(page.get_by_role("status")).to_contain_text("Allow it for this page")
        expect(page.get_by_role("button", name="Start")).to_be_enabled()


def test_a_site_without_a_model_file_or_a_runtime_says_which_is_missing(
    browser: Browser, site: Path, tmp_path: Path
) -> None:
    for missing, name in (("runtime", "no-runtime"), ("model", "no-model")):
        folder = tmp_path / missing
        shutil.copytree(site, folder / "browser", ignore=shutil.ignore_patterns(missing))
        with served(folder) as address:
            page, _, _ = opened(browser, address, permissions=["microphone"])
            if missing == "runtime":
                page.get_by_role("button", name="Start").click()
            state(page, name)
            expect(page.get_by_role("status")).to_contain_text("make docs")
            expect(page.get_by_role("button", name="Start")).to_be_disabled()


def test_a_page_opened_from_a_folder_says_that_it_needs_a_web_server(browser: Browser, site: Path) -> None:
    page = browser.new_page()
    page.goto(f"file://{site}/index.html")
    expect(page.get_by_role("status")).to_contain_text("needs a web server")


def test_the_pages_resampler_gives_libsoxrs_samples_in_any_blocks(browser: Browser, site: Path) -> None:
    code = """async ([samples, from_hz, size]) => {
        const { Resampler } = await import("./resample.js");
        const resampler = new Resampler(from_hz, 16000);
        const found = [];
        for (let first = 0; first < samples.length; first += size) {
            found.push(...resampler.push(Float32Array.from(samples.slice(first, first + size))));
        }
        return found;
    }"""
    inner = slice(400, 7000)  # away from the edges, where the filters begin differently
    with served(site.parent) as address:
        page, _, _ = opened(browser, address)
        for from_hz in (8_000, 16_000, 44_100, 48_000):
            noise = np.random.default_rng(1).normal(0, 0.1, 3_000)  # at 6 kHz: below all filters' edges
            sound = soxr.resample(noise, 6_000, from_hz).astype(np.float32)
            whole, cut = (np.array(page.evaluate(code, [sound.tolist(), from_hz, size])) for size in (len(sound), 128))
            np.testing.assert_array_equal(whole, cut)
            expected = soxr.resample(sound, from_hz, 16_000)
            np.testing.assert_allclose(whole[inner], expected[inner], rtol=0, atol=1e-3)

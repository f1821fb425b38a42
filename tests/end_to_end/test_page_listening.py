"""A source is listened to on the page, in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import SourceConfig
from support.browser import WCAG, a_browser, opened, skip_without_chromium
from support.journal_factory import hello
from support.live_tone import live_tone
from support.web_harness import TOKEN, a_site, wait_until, write_token

TONE_HZ = """async () => {
  const audio = document.querySelector('audio.live'), context = new AudioContext();
  await context.resume();
  const analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  context.createMediaElementSource(audio).connect(analyser);
  const bins = new Float32Array(analyser.frequencyBinCount);
  for (let tries = 0; tries < 200; tries += 1) {
    await new Promise((done) => setTimeout(done, 50));
    analyser.getFloatFrequencyData(bins);
    const best = bins.indexOf(Math.max(...bins));
    if (bins[best] > -40) return (best * context.sampleRate) / analyser.fftSize;
  }
  return null;
}"""
ON_TIME = "() => { const a = document.querySelector('audio.live'); return a.buffered.end(0) - a.currentTime < 1.5; }"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    skip_without_chromium()
    with a_browser("--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.mark.slow
def test_a_source_that_allows_it_is_heard_on_the_page(browser: Browser, tmp_path: Path) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("there is no ffmpeg")
    config = Config(sources={"mic0": SourceConfig(listen=True), "yard": SourceConfig()})
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
    with a_site(word, config=config) as site, live_tone(site.view.live, "mic0"):
        site.append(hello("low", "high"))
        page, said = opened(browser, site.url)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name="Listen: mic0")).to_be_visible()
        assert page.get_by_role("button", name="Listen: yard").count() == 0
        page.get_by_role("button", name="Listen: mic0").click()
        expect(page.locator(".listeners")).to_have_text("1 person listens to this source now.")
        page.wait_for_function("() => document.querySelector('audio.live').currentTime > 0.5")
        assert page.evaluate(TONE_HZ) == pytest.approx(1000, abs=20)
        page.wait_for_function(ON_TIME)  # a busy machine may be late for a moment
        found = Axe().run(page, options=WCAG)
        assert found.violations_count == 0, found.generate_report()
        page.get_by_role("button", name="Stop listening: mic0").click()
        wait_until(lambda: site.view.live.listeners("mic0") == 0)
        expect(page.locator(".listeners")).to_have_text("")
        assert site.log.fields("listening_started") == [{"source": "mic0", "encoding": "opus"}]
        wait_until(lambda: "listening_ended" in site.log.events)
        assert said == []
        page.context.close()

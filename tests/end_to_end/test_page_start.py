"""The page opens with the last minute already drawn, on a phone too."""

from __future__ import annotations

import time

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from soundwatch.daemon.core.records.block import read_only
from soundwatch.daemon.core.records.window import Features
from support.browser import opened
from support.fakes import SMALL_SPEC
from support.web_harness import a_site, reading, today

HOP_SAMPLES = 600  # two columns of the spectrogram
HOP_NS = HOP_SAMPLES * 1_000_000_000 // SMALL_SPEC.rate_hz
DARKEST = """() => {
  const canvas = document.querySelector('canvas.picture'), scale = devicePixelRatio;
  const width = (canvas.clientWidth - 46) * scale;
  const { data } = canvas.getContext('2d').getImageData(0, 60 * scale, width, 1);
  const ink = (x) => 255 * 3 - data[4 * x] - data[4 * x + 1] - data[4 * x + 2];
  let best = 0, drawn = 0;
  for (let x = 0; x < width; x += 1) {
    if (ink(x) > ink(best)) best = x;
    drawn += ink(x) > 60;
  }
  const level = canvas.getContext('2d').getImageData(0, (canvas.clientHeight - 22) * scale, width, 1).data;
  const leveled = level.filter((byte, place) => place % 4 === 3 && byte > 0).length / width;
  return { ageS: 60 * (1 - best / width), ink: ink(best), drawn: drawn / width, leveled };
}"""


@pytest.mark.slow
def test_a_phone_shows_the_last_minute_at_once_with_its_shortest_sound(browser: Browser) -> None:
    with a_site() as site:
        now_ns, windows = time.time_ns(), 600
        for number in range(windows):
            mel_db = np.full(SMALL_SPEC.input_shape, -40.0, np.float32)
            if number == windows - 200:  # 15 s ago
                mel_db[:, :, -3] = 0.0
            first = number * HOP_SAMPLES
            features = Features(read_only(mel_db), first, first + SMALL_SPEC.window_samples, True)
            end_unix_ns = now_ns - (windows - 1 - number) * HOP_NS
            site.view.live.publish(reading(number, features=features, end_unix_ns=end_unix_ns))
        levels = {"level_dba": 48.0, "peak_level_dba": 71.5, "calibrated": True}
        site.append(today(1), msgspec.structs.replace(today(1, "end", level_dbfs=-12.5), **levels), today(2))
        page, said = opened(browser, site.url, reduced_motion="reduce", viewport={"width": 390, "height": 844})
        expect(page.locator("#events > li")).to_have_count(2)
        page.wait_for_function(f"() => ({DARKEST})().drawn > 0.7")
        found = page.evaluate(DARKEST)
        assert found["ageS"] == pytest.approx(15, abs=1.0)
        assert found["leveled"] > 0.7, "the level has the last minute too"
        assert found["ink"] > 500, "the sound is as dark as the ramp's end, not an average of its neighbors"
        page.locator("#events > li").last.locator("summary").click()
        facts = page.locator(".event-body .facts")
        expect(facts).to_contain_text("Highest level71.5 dB(A); −12.5 dBFS without weighting")
        expect(page.locator("#events .from").first).to_be_visible()
        heat = page.get_by_role("region", name="Class by hour")
        assert heat.evaluate("(box) => box.scrollWidth <= box.clientWidth"), "all hours are on the screen"
        assert [text for text in said if not text.startswith("Canvas2D")] == []
        page.context.close()

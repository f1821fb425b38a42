"""Metrics, read by Prometheus' own parser."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from soundwatch.daemon.core.records.source import AudioQuality
from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.status.live import SourceStats
from soundwatch.daemon.web.api.metrics import source_metrics
from soundwatch.daemon.web.live.latency import BOUNDS_S, LatencyHistograms
from support.level_factory import level_line
from support.web_harness import Site, a_site, event_line, lost_line, reading

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(site: Site) -> Samples:
    answer = site.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_operations_are_counted_and_timed() -> None:
    with a_site(sinks=[(SinkStatus("broker", "failing", "gone", 0, 3, 2), 7)]) as site:
        live = site.view.live
        for number in (1, 2):
            live.publish(reading(number))
        site.append(event_line(1), event_line(1, "end"), event_line(2), lost_line("yard"))
        found = scrape(site)
    mic0 = ("source", "mic0")
    assert found["soundwatch_events_total", (("class", "low"), mic0)] == 2
    assert found["soundwatch_active_events", (mic0,)] == 1
    assert found["soundwatch_windows_total", (mic0,)] == 2
    assert found["soundwatch_level_dbfs", (mic0,)] == -30.04
    assert found["soundwatch_coverage_ratio", (mic0,)] == 0.9
    assert found["soundwatch_heard_seconds_total", (mic0,)] == 9.0
    assert found["soundwatch_source_heard", (("source", "yard"),)] == 0
    assert found["soundwatch_decision_delay_seconds_count", (mic0,)] == 2
    assert found["soundwatch_decision_delay_seconds_sum", (mic0,)] == 0.04
    assert found["soundwatch_decision_delay_seconds_bucket", (("le", "0.01"), mic0)] == 0
    assert found["soundwatch_decision_delay_seconds_bucket", (("le", "0.025"), mic0)] == 2
    assert found["soundwatch_sink_available", (("sink", "broker"),)] == 0
    assert found["soundwatch_sink_behind_lines", (("sink", "broker"),)] == 7
    assert found["soundwatch_sink_lost_lines_total", (("sink", "broker"),)] == 2
    assert found["soundwatch_sink_skipped_lines_total", (("sink", "broker"),)] == 0
    assert found["soundwatch_journal_last_seq", ()] == 4
    assert found["soundwatch_process_resident_memory_bytes", ()] > 1e7
    assert [dict(labels)["model"] for (name, labels) in found if name == "soundwatch_info"] == [
        "double@sha256:abababababab"
    ]


def test_every_metric_has_the_prefix_and_a_text() -> None:
    with a_site() as site:
        site.view.live.publish(reading())
        families = list(text_string_to_metric_families(site.get("/metrics").text))
    assert len(families) > 20
    for family in families:
        assert family.name.startswith("soundwatch_")
        assert family.documentation


def test_every_metric_is_documented() -> None:
    documentation = (Path(__file__).resolve().parents[4] / "docs" / "api.md").read_text()
    with a_site() as site:
        site.view.live.publish(reading())
        families = list(text_string_to_metric_families(site.get("/metrics").text))
    for family in families:
        name = family.name.removeprefix("soundwatch_")
        if not name.startswith("process_"):
            assert f"`{name}{'_total' if family.type == 'counter' else ''}`" in documentation


def test_silence_has_no_level_rather_than_a_wrong_one() -> None:
    with a_site() as site:
        site.view.live.publish(reading(level_dbfs=None))
        assert not [name for name, _ in scrape(site) if name == "soundwatch_level_dbfs"]


def test_sound_levels_say_whether_they_are_calibrated() -> None:
    with a_site() as site:
        site.view.live.publish_level(level_line(61.5, calibrated=True))
        site.view.live.publish_level(level_line(None, "yard"))
        found = scrape(site)
    levels = {labels: value for (name, labels), value in found.items() if name == "soundwatch_sound_level_db"}
    assert {dict(labels)["source"] for labels in levels} == {"mic0"}, "digital silence has no sample"
    assert {dict(labels)["calibrated"] for labels in levels} == {"true"}
    assert {dict(labels)["kind"]: value for labels, value in levels.items()} == dict.fromkeys(
        ("laeq", "lceq", "lzeq", "lafmax", "lasmax"), 61.5
    )


def test_a_label_may_hold_anything() -> None:
    with a_site() as site:
        site.append(event_line(1, class_='a"b\\c\nd', source="ü"))
        found = scrape(site)
    assert found["soundwatch_events_total", (("class", 'a"b\\c\nd'), ("source", "ü"))] == 1


def test_a_delay_on_a_bound_counts_below_it() -> None:
    latencies = LatencyHistograms()
    for delay_s in (BOUNDS_S[0], BOUNDS_S[-1], 2 * BOUNDS_S[-1]):
        latencies.observe(reading(delay_ns=round(delay_s * 1e9)))
    cumulative = dict(latencies.all()["mic0"].cumulative)
    assert (cumulative[str(BOUNDS_S[0])], cumulative[str(BOUNDS_S[-1])], cumulative["+Inf"]) == (1, 2, 3)


GOOD = AudioQuality(
    (),
    -30.0,
    None,
    0.5,
    0.01,
    0.0,
    same_channels=True,
    measured_hz=44_101.0,
    longest_zero_run_ms=20,
    longest_gap_ms=105,
)


def test_every_figure_of_a_source_is_a_metric_and_missing_values_have_no_sample() -> None:
    good, lost = SourceStats(losses=2, shifted_ns=-1_500_000_000, quality=GOOD), SourceStats(losses=1)
    samples = [sample for metric in source_metrics({"mic0": good, "yard": lost}) for sample in metric.samples]
    found = {(sample.name, sample.labels["source"]): sample.value for sample in samples}
    assert found == {
        ("soundwatch_source_losses_total", "mic0"): 2,
        ("soundwatch_source_losses_total", "yard"): 1,
        ("soundwatch_clock_shift_seconds", "mic0"): -1.5,
        ("soundwatch_clock_shift_seconds", "yard"): 0,
        ("soundwatch_sound_level_dbfs", "mic0"): -30,
        ("soundwatch_sound_peak_ratio", "mic0"): 0.5,
        ("soundwatch_sound_dc_offset_ratio", "mic0"): 0.01,
        ("soundwatch_sound_clipped_ratio", "mic0"): 0,
        ("soundwatch_sound_same_channels", "mic0"): 1,
        ("soundwatch_sound_rate_hertz", "mic0"): 44_101,
        ("soundwatch_sound_zeros_seconds", "mic0"): 0.02,
        ("soundwatch_sound_wait_seconds", "mic0"): 0.105,
    }

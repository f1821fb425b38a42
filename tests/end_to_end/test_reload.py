"""A daemon that reloads its configuration; unchanged parts continue."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from support.band_model import write_band_model
from support.cli_runner import soundwatch, was_overloaded
from support.demo_daemon import get
from support.fakes import SMALL_CONTRACT
from support.http_service import http_service
from support.ports import free_port
from support.reload_harness import Daemon, Place, running


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    place.write()
    with running(place.path) as daemon:
        daemon.until(lambda: daemon.of("update"))
        yield daemon


def test_adding_and_removing_a_source_does_not_affect_another(place: Place, daemon: Daemon) -> None:
    place.write(("low", "high"))
    assert daemon.reload("reloaded")["detail"] == "source high is new"
    daemon.until(lambda: daemon.of("start", source="high"))
    place.write(("low",))
    assert daemon.reload("reloaded")["detail"] == "source high is gone"
    daemon.until(lambda: daemon.of("stats", source="high"))
    assert [line["reason"] for line in daemon.of("end", source="high")] == ["shutdown"]
    updates = len(daemon.of("update", source="low"))
    daemon.until(lambda: len(daemon.of("update", source="low")) > updates)
    daemon.end()
    low = [line for line in daemon.lines if line["source"] == "low"]
    assert [line["type"] for line in low if line["type"] != "update"] == ["hello", "start", "end", "stats"]
    assert [line["seq"] for line in daemon.lines] == list(range(1, len(daemon.lines) + 1))
    assert low[-1]["coverage"] == 1.0


def test_other_thresholds_hold_from_the_next_window_on(place: Place, daemon: Daemon) -> None:
    place.write(detection=", classes: {low: {threshold: 1.0, release_ratio: 1.0}}")
    assert daemon.reload("reloaded")["detail"] == "what decides is changed"
    daemon.until(lambda: daemon.of("end"))
    assert daemon.of("end")[0]["reason"] == "decay"
    daemon.end()
    assert len(daemon.of("hello")) == 1


def test_settings_of_a_running_source_change_without_a_lost_sample(place: Place, daemon: Daemon) -> None:
    text = place.path.read_text()
    own = "gain_db: 1, high_pass_hz: 20, detection: {classes: {low: {enabled: false}}}"
    place.path.write_text(text.replace("low.wav}", f"low.wav, {own}}}"))
    assert daemon.reload("reloaded")["detail"] == "settings of source low are changed"
    daemon.until(lambda: daemon.of("end"))
    place.path.write_text(text)
    daemon.reload("reloaded")
    daemon.until(lambda: len(daemon.of("start")) == 2)
    daemon.end()
    assert [line["reason"] for line in daemon.of("end")] == ["decay", "shutdown"]
    assert len(daemon.of("hello")) == 1
    if not was_overloaded(daemon.lines):
        assert (daemon.of("gap"), daemon.of("stats")[-1]["lost_s"]) == ([], 0.0)


@pytest.mark.slow
def test_another_rule_continues_without_a_message_that_is_lost_or_comes_twice(place: Place, daemon: Daemon) -> None:
    with http_service() as service:

        def write(title: str, *sources: str) -> None:
            send = f"then: {{title: {title}, send: ['webhook:{service.url}']}}"
            place.write(
                sources, more=f"rules: {{high: {{when: {{classes: [high]}}, not_when: {{cooldown_s: 0}}, {send}}}}}"
            )

        write("first", "low", "high")
        daemon.reload("reloaded")
        daemon.until(lambda: service.requests)
        write("second", "low", "high")
        assert daemon.reload("reloaded")["detail"] == "the alert rules are changed"
        write("second", "low")
        daemon.reload("reloaded")
        write("second", "low", "high")
        daemon.reload("reloaded")
        daemon.until(lambda: len(service.requests) > 1)
        daemon.end()
        messages = [msgspec.json.decode(request.body) for request in service.requests]
    assert [message["title"] for message in messages] == ["first", "second"]
    assert [message["id"] for message in messages] == [line["id"] for line in daemon.of("start", source="high")]


def test_a_schedule_pauses_a_source_and_a_reload_without_it_resumes_it(place: Place, daemon: Daemon) -> None:
    place.write(more="schedules: {always: {when: [{}], sources: [low], then: {pause: true}}}")
    assert daemon.reload("reloaded")["detail"] == "what decides is changed"
    daemon.until(lambda: daemon.of("end"))
    place.write()
    daemon.reload("reloaded")
    daemon.until(lambda: len(daemon.of("start")) == 2)
    daemon.end()
    assert [line["reason"] for line in daemon.of("end")] == ["paused", "shutdown"]
    told = [line["detail"] for line in daemon.of("health") if line["reason"] in ("schedule", "asked")]
    assert sorted(told) == [
        "The schedule always has begun.",
        "The schedule always has ended.",
        "The schedule always pauses low.",
        "low is resumed: no schedule pauses it.",
    ]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system shows no open files")
def test_a_refused_reload_closes_the_sources_that_it_has_opened(place: Place, daemon: Daemon) -> None:
    pipe = place.folder / "pipe"
    os.mkfifo(pipe)
    text = place.path.read_text()
    place.path.write_text(text.replace("low.wav}", f"low.wav}}, pipe: {{device: {pipe}}}, none: {{device: /none.wav}}"))
    assert "/none.wav" in daemon.reload("refused")["detail"]
    opened = Path(f"/proc/{daemon.process.pid}/fd")
    assert str(pipe) not in [str(file.readlink()) for file in opened.iterdir()]
    daemon.end()


def test_a_refused_configuration_is_logged(place: Place, daemon: Daemon) -> None:
    place.write(more="sorces: {}")
    daemon.reload("refused")
    assert "did you mean `sources`?" in daemon.end()


def test_an_invalid_new_model_file_is_refused_and_the_loaded_model_stays(place: Place, daemon: Daemon) -> None:
    place.model.write_bytes(b"garbage" * 1000)
    assert "does not read as ONNX" in daemon.reload("refused")["detail"]
    updates = len(daemon.of("update"))
    daemon.until(lambda: len(daemon.of("update")) > updates)
    daemon.end()


def test_another_network_of_the_same_front_end_takes_over_without_a_missed_window(place: Place, daemon: Daemon) -> None:
    other = msgspec.structs.replace(SMALL_CONTRACT, name="other", weights_sha256="cd" * 32)
    place.model = write_band_model(place.folder / "other.onnx", other)
    place.write()
    daemon.reload("reloaded")
    daemon.until(lambda: len(daemon.of("start")) == 2)
    daemon.end()
    told = [(line["type"], line.get("reason")) for line in daemon.lines if line["type"] not in ("update", "health")]
    assert told == [
        ("hello", None),
        ("start", None),
        ("end", "model_changed"),
        ("hello", None),
        ("start", None),
        ("end", "shutdown"),
        ("stats", None),
    ]
    first, second = daemon.of("hello")
    assert first["model"].startswith("double@")
    assert second["model"].startswith("other@")
    assert second["stream_start"] == first["stream_start"]
    assert daemon.of("start")[1]["model"] == second["model"]
    stats = daemon.of("stats")[0]
    window_s, hop_s = first["window_s"], first["hop_s"]
    if not was_overloaded(daemon.lines):  # windows come less often then
        assert stats["windows"] == 1 + int((stats["duration_s"] - window_s + 1e-6) / hop_s)
        assert stats["lost_s"] == 0


def test_a_sink_is_added_and_removed(place: Place, daemon: Daemon) -> None:
    events = place.folder / "events.jsonl"
    place.write(more=f"sinks: [json, 'json:{events}']")
    assert daemon.reload("reloaded")["detail"] == "sink json is new"
    daemon.until(lambda: events.exists() and b'"update"' in events.read_bytes())
    place.write()
    assert daemon.reload("reloaded")["detail"] == "sink json is gone"
    size = events.stat().st_size
    updates = len(daemon.of("update"))
    daemon.until(lambda: len(daemon.of("update")) > updates + 1)
    assert events.stat().st_size == size
    daemon.end()


def test_changed_options_do_not_make_a_second_sink(place: Place, daemon: Daemon) -> None:
    place.write(more="sinks: ['json,scores=1']")
    assert daemon.reload("reloaded")["detail"] == "sink json is gone; sink json is new"
    daemon.until(lambda: daemon.of("scores"))
    daemon.end()


@pytest.mark.parametrize(
    ("sink", "said"),
    [
        ("json,scores=1", b"Two sinks write to stdout, and each place can be written to once"),
        ("mqtt://127.0.0.1:1,pictures=1", b"pictures=1 publishes the pictures of clips, and none are written"),
    ],
)
def test_a_start_with_sinks_that_contradict_the_configuration_is_refused(place: Place, sink: str, said: bytes) -> None:
    place.write(more=f"sinks: [json, '{sink}']")
    done = soundwatch("run", "--config", place.path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert said in done.stderr


def test_the_page_shows_the_configuration_in_force(place: Place) -> None:
    page = f"http://127.0.0.1:{free_port()}"
    place.write(more=f"sinks: [json, '{page}']")
    with running(place.path) as daemon:
        daemon.until(lambda: get(page, "/api/config"))
        assert get(page, "/api/config")["config"]["stats_s"] == 3600
        place.write(more=f"sinks: [json, '{page}']\nstats_s: 90")
        daemon.reload("reloaded")
        assert get(page, "/api/config")["config"]["stats_s"] == 90
        daemon.end()


def test_a_flood_of_hangups_does_no_harm(place: Place, daemon: Daemon) -> None:
    for _ in range(20):
        daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.of("health", state="reloaded"))
    updates = len(daemon.of("update"))
    daemon.until(lambda: len(daemon.of("update")) > updates + 2)
    daemon.end()
    assert len(daemon.of("start")) == 1


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Daemon]]:
    """Return a daemon for several configurations, of which none is taken."""
    place = Place(tmp_path_factory.mktemp("steady"))
    place.write()
    with running(place.path, "--journal", str(place.folder / "journal.db")) as daemon:
        daemon.until(lambda: daemon.of("update"))
        yield place, daemon


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("sorces: {}", "did you mean `sources`?"),
        ("node: elsewhere", "node cannot be changed while the program runs"),
        ("sinks: [json, carrier-pigeon]", "names no known sink"),
        ("sinks: [json, 'json:/no/such/x.jsonl,scroes=1']", "did you mean scores?"),
        ("sinks: [json, 'json,scores=1']", "Two sinks write to stdout, and each place can be written to once"),
        ("sinks: [json, json]", "The sink json is named twice"),
    ],
)
def test_an_invalid_configuration_is_refused_and_the_old_one_stays(
    steady: tuple[Place, Daemon], more: str, said: str
) -> None:
    place, daemon = steady
    place.write(("high",), more=more)
    told = daemon.reload("refused")
    assert said in told["detail"]
    assert told["detail"].endswith("The old configuration stays in force.")
    updates = len(daemon.of("update", source="low"))
    daemon.until(lambda: len(daemon.of("update", source="low")) > updates)
    assert not daemon.of("hello", source="high")

"""Audit of stored and sent data, with real files and all kinds of addresses."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundwatch.daemon.cli import soundwatch as group
from soundwatch.daemon.clips.clip_store import ClipStore
from soundwatch.daemon.config.config import ClipsConfig, Config, JournalConfig
from soundwatch.daemon.config.source import SourceClipsConfig, SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.diagnostics.network.network_reach import NetworkReach, network_reach
from soundwatch.daemon.diagnostics.privacy.audit import audit
from soundwatch.daemon.diagnostics.privacy.text import audit_text
from soundwatch.daemon.events.schema import ClipLine
from soundwatch.daemon.journal.queries.labels import set_label
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS
from support.cli_runner import soundwatch
from support.clip_factory import clip
from support.journal_factory import TIME, event, write_journal


@pytest.mark.parametrize(
    ("host", "reach"),
    [
        ("127.0.0.1", "machine"),
        ("127.9.9.9", "machine"),
        ("::1", "machine"),
        ("localhost", "machine"),
        ("broker.localhost", "machine"),
        ("192.168.1.5", "local_network"),
        ("10.0.0.1", "local_network"),
        ("fd00::5", "local_network"),
        ("fe80::1", "local_network"),
        ("169.254.1.1", "local_network"),
        ("homeassistant", "local_network"),
        ("broker.local", "local_network"),
        ("nas.fritz.box", "local_network"),
        ("8.8.8.8", "outside"),
        ("2001:4860:4860::8888", "outside"),
        ("hooks.slack.com", "outside"),
        ("localhost.example.com", "outside"),
        ("192.168.1.5.example.com", "outside"),
        ("broker.local.example", "outside"),
    ],
)
def test_a_hosts_name_or_address_gives_its_reach(host: str, reach: NetworkReach) -> None:
    assert network_reach(host) == reach


def test_by_default_no_data_is_stored_or_sent() -> None:
    found = audit(Config(journal=JournalConfig(path="memory")))
    assert not found.leaves_house
    assert (found.journal.path, found.clips.folder, found.clips.clips) == (None, None, 0)
    assert [destination.reach for destination in found.destinations] == ["machine"]
    assert "  none is stored with these options; a few seconds are in memory while they are scored" in audit_text(found)


def test_existing_lines_labels_and_clips_are_counted(tmp_path: Path) -> None:
    store = write_journal(
        tmp_path / "journal.db", event("A", time="2026-01-01T00:00:00.000Z"), event("B"), event("C", "dog_bark")
    )
    set_label(store, "A", "2026-09-22T08:00:00.000Z", None)
    os.chmod(tmp_path / "journal.db", 0o644)  # noqa: PTH101
    folder = tmp_path / "clips"
    clip_store = ClipStore(folder, ClipsConfig())
    stored = [clip_store.save(clip(second=second)) for second in range(3)]
    clip_store.save_picture(stored[0], b"12345678")
    assert clip_store.trim() == 0
    sizes = [8, *(saved.size_bytes for saved in stored)]
    (folder / "holiday.flac").write_bytes(b"mine")
    config = Config(journal=JournalConfig(path=str(tmp_path / "journal.db")), clips=ClipsConfig(folder=str(folder)))
    found = audit(config)
    assert (found.journal.lines, found.journal.labels, found.journal.oldest) == (3, 1, "2026-01-01T00:00:00.000Z")
    assert found.journal.mode == "0644"
    assert found.journal.size_bytes >= (tmp_path / "journal.db").stat().st_size
    assert (found.clips.clips, found.clips.size_bytes, found.clips.others) == (3, sum(sizes), 1)
    assert found.clips.pictures == 1
    assert "  with 1 spectrogram: speech is visible in them" in audit_text(found)
    assert (found.clips.oldest, found.clips.mode) == ("2026-09-21T14:13:20.000Z", "0700")
    assert found.clips.speech_guard == "speech"
    text = "\n".join(audit_text(found))
    assert "other users may read it" in text
    assert "3 clips" in text
    assert "and 1 file that soundwatch did not write" in text


def test_sources_whose_clips_differ_are_named(tmp_path: Path) -> None:
    sources = {
        "bedroom": SourceConfig(clips=False),
        "yard": SourceConfig(clips=SourceClipsConfig(speech_guard=False)),
        "street": SourceConfig(),
    }
    config = Config(journal=JournalConfig(path="memory"), clips=ClipsConfig(folder=str(tmp_path)), sources=sources)
    found = audit(config)
    assert (found.clips.sources_without_clips, found.clips.sources_without_guard) == (("bedroom",), ("yard",))
    text = audit_text(found)
    assert "  no sound of bedroom is stored" in text
    assert "  no speech guard for yard: these clips may hold speech" in text


def test_an_unreadable_journal_is_reported(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_bytes(b"no database at all, but some text that is long enough" * 20)
    found = audit(Config(journal=JournalConfig(path=str(tmp_path / "journal.db"))))
    assert found.journal.problem is not None
    assert "cannot be opened" in found.journal.problem


def test_sources_that_can_be_listened_to_are_named() -> None:
    sources = {"yard": SourceConfig(listen=True), "mic0": SourceConfig()}
    found = audit(Config(journal=JournalConfig(path="memory"), sources=sources))
    assert found.listening == ("yard",)
    assert "  who has the token of the page can listen live to yard" in audit_text(found)
    closed = audit(Config(journal=JournalConfig(path="memory")))
    assert not any("listen" in line for line in audit_text(closed))


def test_servers_for_other_machines_and_network_sources_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDWATCH_TOKEN", "sixteen-letters-")
    found = audit(
        Config(
            journal=JournalConfig(path="memory"),
            sinks=("json", "http://0.0.0.0:8433", "http://127.0.0.1:8433"),
            sources={
                "gate": SourceConfig(device="rtsp://user:secret@192.168.1.9/stream"),
                "radio": SourceConfig(device="https://radio.example.org/live"),
                "mic0": SourceConfig(),
            },
        )
    )
    assert [destination.reach for destination in found.destinations] == ["machine", "local_network", "machine"]
    assert [(source.source, source.reach, source.encrypted) for source in found.network_sources] == [
        ("gate", "local_network", False),
        ("radio", "outside", True),
    ]
    assert not found.leaves_house
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("sink", "shown", "reach"),
    [
        ("json", "json", "machine"),
        ("json:/var/log/events.jsonl", "json:/var/log/events.jsonl", "machine"),
        ("terminal", "terminal", "machine"),
        ("unix:/run/soundwatch.sock", "unix:/run/soundwatch.sock", "machine"),
        ("tcp://127.0.0.1:9000", "tcp://127.0.0.1", "machine"),
        ("tcp://0.0.0.0:9000", "tcp://0.0.0.0", "local_network"),
        ("http://[::1]:8433", "http://::1", "machine"),
        ("mqtt://homeassistant:1883,retain=1", "mqtt://homeassistant", "local_network"),
        ("mqtts://user:secret@broker.example.org", "mqtts://broker.example.org", "outside"),
        ("webhook:https://hooks.slack.com/services/secret", "webhook://hooks.slack.com", "outside"),
        ("webhook:http://127.0.0.1:9/secret", "webhook://127.0.0.1", "machine"),
        ("command:/usr/bin/mail", "command:/usr/bin/mail", "unknown"),
    ],
)
def test_every_kind_of_sink_is_classified_without_its_secrets(sink: str, shown: str, reach: NetworkReach) -> None:
    found = audit(Config(journal=JournalConfig(path="memory"), sinks=(sink,)))
    [destination] = found.destinations
    assert (destination.sink, destination.reach) == (shown, reach)
    assert "secret" not in repr(found)
    assert found.leaves_house is (reach in ("outside", "unknown"))


def test_the_cases_above_cover_every_kind_of_sink() -> None:
    assert set(OUTPUT_KINDS) == {"json", "terminal", "http", "mqtt", "mqtts", "webhook", "command", "unix", "tcp"}


@pytest.mark.slow
def test_the_exit_code_shows_whether_data_leaves_the_local_network(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"clips: {{folder: {tmp_path}/clips}}\njournal: {{path: {tmp_path}/journal.db}}\n")
    stays = soundwatch("privacy", "audit", "--config", config)
    assert stays.returncode == 0, stays.stderr
    assert stays.stdout.decode().splitlines()[-1] == "No data leaves the local network."
    leaves = soundwatch("privacy", "audit", "--config", config, "-F", "tcp://8.8.8.8:80", "--json")
    assert leaves.returncode == 12, leaves.stderr
    assert json.loads(leaves.stdout)["leaves_house"]
    assert not (tmp_path / "journal.db").exists()
    assert not (tmp_path / "clips").exists()


def test_clips_of_an_earlier_run_are_reported_without_the_option(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    store = ClipStore(folder, ClipsConfig())
    paths = [store.save(clip(second=second)).path for second in range(3)]
    lines = [
        ClipLine(
            seq=number, time=TIME, node="n", source="mic0", id=f"E{number}", class_="siren", file=path.name,
            path=str(path), reason=None, start=TIME, duration_s=2.0, lost_s=0.0, bytes=1, rate_hz=16_000, channels=1,
        )
        for number, path in enumerate(paths, 1)
    ]  # fmt: skip
    write_journal(tmp_path / "journal.db", *lines)
    paths[0].unlink()
    journal = JournalConfig(path=str(tmp_path / "journal.db"))
    found = audit(Config(journal=journal))
    assert found.clips.earlier == {str(folder): 2}
    with contextlib.closing(JournalStore(tmp_path / "journal.db")) as trimmed:
        trimmed.drop_oldest(1.0)
        assert trimmed.read_after(0, 10) == []
    assert audit(Config(journal=journal)).clips.earlier == {str(folder): 2}, (
        "the journal's lines are gone, not the clips"
    )
    assert f"  {folder}: 2 clips of earlier runs" in audit_text(found)
    assert audit(Config(journal=journal, clips=ClipsConfig(folder=str(folder)))).clips.earlier == {}


@pytest.mark.parametrize("dropped", [False, True])
def test_a_picture_of_an_earlier_run_whose_clip_was_removed_by_hand_is_reported(tmp_path: Path, dropped: bool) -> None:
    folder = tmp_path / "clips"
    store = ClipStore(folder, ClipsConfig())
    stored = store.save(clip())
    store.save_picture(stored, b"picture")
    line = ClipLine(
        seq=1, time=TIME, node="n", source="mic0", id="E1", class_="siren", file=stored.path.name,
        path=str(stored.path), reason=None, start=TIME, duration_s=2.0, lost_s=0.0, bytes=1, rate_hz=16_000, channels=1,
    )  # fmt: skip
    write_journal(tmp_path / "journal.db", line)
    if dropped:
        with contextlib.closing(JournalStore(tmp_path / "journal.db")) as trimmed:
            trimmed.drop_oldest(1.0)
    config = Config(journal=JournalConfig(path=str(tmp_path / "journal.db")))
    assert audit(config).clips.earlier == {str(folder): 1}, "a clip with its picture counts once"
    stored.path.unlink()
    assert audit(config).clips.earlier == {str(folder): 1}


@pytest.mark.parametrize("sink", ["http://0.0.0.0:8433", "http://[::]:8433", "http://192.0.2.1", "http://host:x"])
def test_an_address_that_run_refuses_is_refused(sink: str) -> None:
    with pytest.raises(ConfigError, match=r"requires a token|is not an address") as refused:
        CliRunner().invoke(group, ["privacy", "audit", "-F", sink], catch_exceptions=False)
    assert refused.value.exit_code == 2

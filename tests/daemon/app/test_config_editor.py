"""Changes of the configuration file by the daemon."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.app.build import InForce, build_context
from soundwatch.daemon.app.config_editor import FileEditor
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.config import write as config_write
from soundwatch.daemon.config.change import ConfigBusyError, ConfigChange, ConfigConflictError
from soundwatch.daemon.config.file import parse_config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.time.clock import WallClock
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from support.band_model import write_band_model
from support.memory_logger import MemoryLogger

TEXT = """\
# The balcony.
model: {file: MODEL}
sources:
  street: {device: "rtsp://user:s3cret@camera/live", gain_db: 0.0}   # over the door
detection:
  cooldown_s: 5.0   # long enough

# Further sections.
sinks: ["webhook:https://chat/s3cret"]   # s3cret, too
"""


class Desk:
    """An editor, its file, and what is in force."""

    def __init__(self, path: Path, in_force: InForce) -> None:
        self.path = path
        self.in_force = in_force
        self.refusal = ""
        self.log = MemoryLogger()
        self.editor = FileEditor(path, self.read, lambda: self.in_force, self.reload, self.log)

    def read(self, content: bytes) -> RunConfig:
        config = parse_config(content, self.path)
        return RunConfig(config, config.sources)

    def reload(self) -> str:
        if self.refusal:
            raise ConfigError(self.refusal)
        self.in_force = replace(self.in_force, run_config=self.read(self.path.read_bytes()))
        return "what decides is changed"

    def change(self, *removed: tuple[str, ...], dry_run: bool = False, **changes: Any) -> ConfigChange:
        paths = {tuple(key.split("__")): value for key, value in changes.items()}
        return self.editor.change(paths, removed, self.editor.read().tag, dry_run=dry_run)

    @property
    def text(self) -> str:
        return self.path.read_bytes().decode()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, InForce]]:
    folder = tmp_path_factory.mktemp("model")
    text = TEXT.replace("MODEL", str(write_band_model(folder / "band.onnx")))
    config = parse_config(text.encode(), folder / "config.yaml")
    journal = Journal(JournalStore(MEMORY), RetentionLimits(1.0, 1_000_000), "balcony", MemoryLogger())
    context, _ = build_context(config, WallClock(), lambda: journal)
    yield text, InForce(RunConfig(config, config.sources), context)
    journal.close()


@pytest.fixture
def desk(started: tuple[str, InForce], tmp_path: Path) -> Desk:
    path = tmp_path / "config.yaml"
    path.write_text(started[0])
    return Desk(path, started[1])


def test_a_change_is_written_with_its_comments_and_reloaded(desk: Desk) -> None:
    before = desk.text
    checked = desk.change(detection__cooldown_s=9, dry_run=True)
    assert (checked.state, desk.text) == ("checked", before)
    done = desk.change(detection__cooldown_s=9)
    assert desk.text == before.replace("5.0   # long", "9   # long")
    assert [(line.kind, line.number, line.text) for line in done.lines] == [
        ("deleted", 6, "  cooldown_s: 5.0   # long enough"),
        ("added", 6, "  cooldown_s: 9   # long enough"),
    ]
    assert (done.state, done.detail) == ("reloaded", "what decides is changed")
    assert done.backup is not None
    assert Path(done.backup).read_text() == before
    assert desk.in_force.run_config.config.detection.cooldown_s == 9
    assert [entry["keys"] for entry in desk.log.fields("settings_saved")] == [["detection.cooldown_s"]]
    assert desk.change(detection__cooldown_s=9).state == "unchanged"
    assert desk.change(("detection", "cooldown_s")).state == "reloaded"
    assert "detection: {}" in desk.text


def test_no_secret_is_shown_in_the_difference(desk: Desk) -> None:
    done = desk.change(sources__street__gain_db=3.0, dry_run=True)
    assert [line.text for line in done.lines] == [
        f"  street: {{device: rtsp://***@camera/live, gain_db: {gain}}}   # over the door" for gain in ("0.0", "3.0")
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"detection__cooldwn_s": 1}, "`detection.cooldwn_s` is not a key; did you mean `cooldown_s`?"),
        ({"detection__cooldown_s": -1}, "Expected `number` >= 0.0 - at `detection.cooldown_s`"),
        ({"detection__classes__lw__threshold": 0.5}, "detection.classes.lw: the model .* did you mean low?"),
        ({"sinks": ["command:/bin/sh"]}, "sinks names a program, a destination or a file"),
        ({"model__file": "other.onnx"}, "model.file names a program"),
        ({"clips": {"folder": "/etc"}}, "clips.folder names a program"),
        ({"clips__speech_guard": False}, "clips.speech_guard names a program"),
        ({"sources__street__clips": {"speech_guard": False}}, "sources.street.clips.speech_guard names a program"),
        ({"sources__street__clips": True}, "sources.street.clips names .* or decides which sound is recorded"),
        ({"sources": {"bedroom": {"device": "demo"}}}, "sources.bedroom.device names .* which sound is recorded"),
        ({"sources__street__channels": "right"}, "sources.street.channels names"),
        ({"detection__calibration": "/dev/zero"}, "detection.calibration names a program"),
        ({"sources__street__detection": {"calibration": "/fifo"}}, "sources.street.detection.calibration names"),
        ({"rules__a__then__clip": "attach"}, "rules.a.then.clip names a program"),
        ({"rules": {"a": {"then": {"send": ["command:/bin/sh"]}}}}, "rules.a.then.send names a program"),
        ({"rules": 5}, "rules names a program"),
        ({"node": "rtsp://***@camera/live"}, r"contains \*\*\*"),
        ({"node": "rtsp://a:b@camera/live"}, "contains a secret"),
        ({"sources": {}}, "sources contains sources.street.device, which the page cannot change"),
        ({"sources__street": {}}, "sources.street contains sources.street.device, which the page cannot"),
        ({"node": "porch", "detection__cooldown_s": 9}, "node can be changed only by a restart.* Save them separately"),
        ({"detection__tags": ["rain"], "stats_s": 9}, "detection.tags can be changed only by a restart"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_and_nothing_is_written(desk: Desk, changes: dict[str, Any], message: str) -> None:
    before = desk.text
    with pytest.raises(ConfigError, match=message):
        desk.change(**changes)
    assert desk.text == before
    assert [file.name for file in desk.path.parent.iterdir()] == ["config.yaml"]


RULE = "clips: {speech_guard: true, max_s: 9}\nrules:\n  loud: {then: {send: ['json:loud.jsonl']}}\n"


@pytest.mark.parametrize("path", [("clips",), ("rules",), ("rules", "loud", "then"), ("sources",), ("clips", "folder")])
def test_a_mapping_with_protected_keys_is_not_removed(desk: Desk, path: tuple[str, ...]) -> None:
    desk.path.write_text(desk.text + RULE)
    with pytest.raises(ConfigError, match=r"the page cannot change|so the page cannot"):
        desk.change(path)
    if path != ("clips", "folder"):
        with pytest.raises(ConfigError, match=r"contains .* the page cannot change or remove"):
            desk.editor.change({path: {}}, (), desk.editor.read().tag, dry_run=False)
    assert desk.text.endswith(RULE)


def test_a_whole_rule_is_removed(desk: Desk) -> None:
    desk.path.write_text(desk.text + RULE)
    assert desk.change(("rules", "loud")).state == "restart"  # clips differ from those in force
    assert "rules: {}" in desk.text


def _nested(number: int, kind: type) -> Any:
    value: Any = 1
    for _ in range(number):
        value = {"a": value} if kind is dict else [value]
    return value


@pytest.mark.parametrize(
    "changes",
    [
        {"detection__tags": _nested(900, list)},
        {"detection": _nested(900, dict)},
        {"detection": _nested(8, dict)},
        {"detection" + "__a" * 140: 1},
    ],
)
def test_a_value_that_is_nested_deeply_is_refused_with_a_sentence(desk: Desk, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="detection is nested more than 8 levels deep"):
        desk.change(**changes)


def test_a_change_while_another_one_is_applied_is_refused(desk: Desk) -> None:
    refused: list[str] = []

    def change_again() -> str:
        with pytest.raises(ConfigBusyError) as error:
            editor.change({("stats_s",): 9}, (), editor.read().tag, dry_run=True)
        refused.append(str(error.value))
        return "done"

    editor = FileEditor(desk.path, desk.read, lambda: desk.in_force, change_again, desk.log, lock_s=0)
    assert editor.change({("detection", "cooldown_s"): 9}, (), editor.read().tag, dry_run=False).detail == "done"
    assert ["is being applied; nothing was written" in text for text in refused] == [True]


def test_a_file_that_waits_for_a_restart_is_checked_as_a_reload_checks(desk: Desk) -> None:
    desk.path.write_text(desk.text + "node: porch\n")
    assert desk.change(detection__cooldown_s=9).restart == ["node"]
    with pytest.raises(ConfigError, match="no source left"):
        desk.change(("sources", "street"))


def test_a_change_by_hand_is_never_overwritten(desk: Desk) -> None:
    tag = desk.editor.read().tag
    desk.path.write_text(desk.text + "# mine\n")
    with pytest.raises(ConfigConflictError, match="was changed meanwhile"):
        desk.editor.change({("detection", "cooldown_s"): 9}, (), tag, dry_run=False)
    assert desk.text.endswith("# mine\n")


def test_a_refused_reload_restores_the_file_to_the_byte(desk: Desk) -> None:
    before, desk.refusal = desk.path.read_bytes(), "The microphone is gone."
    with pytest.raises(ConfigError, match=r"refused and the file was restored: The microphone is gone\."):
        desk.change(detection__cooldown_s=9)
    assert desk.path.read_bytes() == before


def test_a_change_that_is_still_being_applied_stays_in_the_file(desk: Desk) -> None:
    def reload() -> str:
        raise ConfigBusyError("The change is written and is still being applied; see the log.")

    editor = FileEditor(desk.path, desk.read, lambda: desk.in_force, reload, desk.log)
    with pytest.raises(ConfigBusyError, match=r"^The change is written"):
        editor.change({("detection", "cooldown_s"): 9}, (), editor.read().tag, dry_run=False)
    assert "cooldown_s: 9 " in desk.text


def test_a_key_that_needs_a_restart_is_written_and_named(desk: Desk) -> None:
    desk.refusal = "no reload was expected"
    done = desk.change(node="porch", log__level="debug")
    assert (done.state, done.restart) == ("restart", ["node", "log"])
    assert desk.text.endswith("node: porch\n\nlog:\n  level: debug\n")


def test_a_file_behind_a_link_keeps_its_mode_mark_and_line_ends(desk: Desk) -> None:
    real = desk.path.with_name("real.yaml")
    real.write_bytes(b"\xef\xbb\xbf" + desk.path.read_bytes().replace(b"\n", b"\r\n"))
    real.chmod(0o640)
    desk.path.unlink()
    desk.path.symlink_to(real.name)
    before = real.read_bytes()
    desk.change(detection__cooldown_s=9)
    assert desk.path.is_symlink()
    assert real.read_bytes() == before.replace(b"5.0   #", b"9   #")
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.with_name("real.yaml.bak").read_bytes() == before


def test_an_anchor_and_a_double_key_are_refused(desk: Desk) -> None:
    desk.path.write_text(desk.text.replace("cooldown_s: 5.0", "cooldown_s: &wait 5.0\n  update_s: *wait"))
    with pytest.raises(ConfigError, match="Change the file by hand"):
        desk.change(detection__cooldown_s=9)
    desk.path.write_text(desk.text + "node: a\nnode: b\n")
    with pytest.raises(ConfigError, match="appears twice"):
        desk.change(detection__cooldown_s=9)
    content = b"node: b\xe4r\n"  # not UTF-8
    desk.path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not YAML"):
        desk.editor.change({("node",): "a"}, (), hashlib.sha256(content).hexdigest(), dry_run=False)


@pytest.mark.parametrize(("number", "advice"), [(errno.ENOSPC, "Free space"), (errno.EROFS, "write permission")])
def test_a_disk_that_takes_no_file_is_named(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, number: int, advice: str
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(config_write, "replace_file", refuse)
    before = desk.text
    with pytest.raises(ConfigError, match=f"{os.strerror(number)}.*{advice}"):
        desk.change(detection__cooldown_s=9)
    assert desk.text == before


def test_a_daemon_without_a_file_names_the_option(desk: Desk) -> None:
    editor = FileEditor(None, desk.read, lambda: desk.in_force, desk.reload, desk.log)
    with pytest.raises(ConfigError, match="Start it with --config FILE"):
        editor.read()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_named(desk: Desk) -> None:
    desk.path.parent.chmod(0o555)
    assert "read-only" in desk.editor.read().problem
    desk.path.parent.chmod(0o755)

"""Promotion of the shadow model, and rollback: in the configuration file and in the running daemon.

Conventions: every check comes before the first change: both model files are opened as the daemon opens them, and the
new text is parsed and compared with the intended configuration. A running daemon reloads on SIGHUP and writes the
result to its journal.
Rule: if the daemon does not use the promoted model, or does not respond, the file is restored to the byte.
Does not: start or stop a program.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.config.config import Config, JournalConfig
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.config.write import write_atomically
from soundwatch.daemon.config.yaml_edit import KeyPath, edit_yaml
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.core.time.clock import format_datetime
from soundwatch.daemon.detection.rules import resolve_sources
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.journal.file.lock import writer_pid
from soundwatch.daemon.journal.location import journal_path, open_for_reading
from soundwatch.daemon.journal.queries import query
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.shadow.build import load_shadow

RESPONSE_TIMEOUT_S: Final = 60.0
POLL_INTERVAL_S: Final = 0.1


class PromotionRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Record of the last promotion, stored next to the configuration for `rollback`.

    Attributes:
        time: Time of the promotion.
        model: Value of `model.file` since the promotion.
        before: Value of `model.file` before the promotion.
    """

    time: str
    model: str
    before: str


class _HealthLine(msgspec.Struct, frozen=True):
    """The keys of a `health` line that a promotion reads."""

    reason: str
    state: str
    detail: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """Result of a promotion or rollback.

    Attributes:
        model: Identity of the active model.
        shadow: Identity of the shadow model.
        model_file: Value of `model.file`.
        shadow_file: Value of `shadow.file`.
        journal: Path of the daemon's journal.
        process: Number of the process that reloaded; None if no process writes to that journal.
    """

    model: str
    shadow: str
    model_file: str
    shadow_file: str
    journal: str
    process: int | None


def promote(path: Path, journal: JournalConfig, wait_s: float = RESPONSE_TIMEOUT_S) -> PromotionResult:
    """Make the shadow the active model, and the active model the shadow.

    Args:
        path: The configuration file.
        journal: Journal of the daemon that uses this configuration.
        wait_s: Time limit for the daemon's response.

    Raises:
        SoundwatchError: The promotion failed; the file and the daemon are unchanged.
    """
    before = load_config(path)
    done = _exchange(path, before, journal, wait_s)
    now = format_datetime(datetime.now(UTC), "seconds")
    _record_path(path).write_bytes(
        msgspec.json.encode(PromotionRecord(time=now, model=done.model_file, before=done.shadow_file)) + b"\n"
    )
    return done


def roll_back(path: Path, journal: JournalConfig, wait_s: float = RESPONSE_TIMEOUT_S) -> PromotionResult:
    """Restore the model that was active before the last promotion.

    Args:
        path: The configuration file.
        journal: Journal of the daemon that uses this configuration.
        wait_s: Time limit for the daemon's response.

    Raises:
        SoundwatchError: There is no record of a promotion, or the configuration was changed since; the file and the
            daemon are unchanged.
    """
    config = load_config(path)
    try:
        record = msgspec.json.decode(_record_path(path).read_bytes(), type=PromotionRecord)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} has no promotion to roll back: there is no {_record_path(path)}. To promote the shadow: "
            "soundwatch shadow promote."
        ) from None
    except (OSError, *JSON_ERRORS) as error:
        raise ConfigError(f"{_record_path(path)} cannot be read: {error}. Exchange the two files by hand.") from error
    if (config.model.file, config.shadow.file) != (record.model, record.before):
        raise ConfigError(
            f"{path} was changed since the promotion of {record.time}: model.file is {config.model.file} and "
            f"shadow.file {config.shadow.file}; {record.model} and {record.before} were expected. Exchange them by "
            "hand."
        )
    done = _exchange(path, config, journal, wait_s)
    _record_path(path).unlink(missing_ok=True)
    return done


def _record_path(path: Path) -> Path:
    real = path.resolve()  # the configuration is written in this folder, so the record can be, too
    return real.with_name(f"{real.name}.promoted")


def _exchange(path: Path, before: Config, journal: JournalConfig, wait_s: float) -> PromotionResult:
    """Exchange `model.file` and `shadow.file` in the file, and reload a running daemon."""
    if before.shadow.file is None:
        raise ConfigError(f"{path} has no shadow to promote; name a model in shadow.file.")
    after = msgspec.structs.replace(
        before,
        model=msgspec.structs.replace(before.model, file=before.shadow.file),
        shadow=msgspec.structs.replace(before.shadow, file=before.model.file),
    )
    model = load_classifier(after).contract
    resolve_sources(after, model)
    shadow = load_shadow(after, model).contract
    content = path.read_bytes()
    files: dict[KeyPath, str] = {("model", "file"): before.shadow.file, ("shadow", "file"): before.model.file}
    try:
        text = edit_yaml(content.decode(), files)
    except ConfigError:
        raise _unsupported(path, after) from None
    process = _apply(_Change(path, content, text.encode(), after), journal, model.identity, wait_s)
    file = str(journal_path(journal))
    return PromotionResult(model.identity, shadow.identity, before.shadow.file, before.model.file, file, process)


@dataclass(frozen=True, slots=True)
class _Change:
    """A change of a configuration file.

    Attributes:
        path: The file.
        before: Present content of the file.
        after: New content of the file.
        intended: The configuration that the new content has to give.
    """

    path: Path
    before: bytes
    after: bytes
    intended: Config

    def apply(self) -> None:
        """Write the new content.

        Raises:
            ConfigError: The file cannot be written, or the new content would not give the intended configuration.
        """
        write_atomically(self.path, self.after, self._check)

    def undo(self) -> None:
        """Restore the previous content, unless another program changed the file since."""
        if self.path.read_bytes() == self.after:
            write_atomically(self.path, self.before)

    def _check(self, new: Path) -> None:
        parsed = None
        with contextlib.suppress(ConfigError):
            parsed = load_config(new)
            # this path is relative to the file's folder, which differs where the file is a link
            detection = msgspec.structs.replace(parsed.detection, calibration=self.intended.detection.calibration)
            parsed = msgspec.structs.replace(parsed, detection=detection)
        if parsed != self.intended:
            raise _unsupported(self.path, self.intended)


def _unsupported(path: Path, intended: Config) -> ConfigError:
    return ConfigError(
        f"{path} uses YAML syntax that this command cannot change. Set model.file to {intended.model.file} and "
        f"shadow.file to {intended.shadow.file} by hand; then send SIGHUP to soundwatch."
    )


def _apply(change: _Change, journal: JournalConfig, expected_model: str, wait_s: float) -> int | None:
    """Write a change, and reload the daemon that writes to the journal.

    Args:
        change: The change.
        journal: The journal.
        expected_model: Identity of the active model after the reload.
        wait_s: Time limit for the daemon's response.

    Returns:
        The number of the daemon's process; None if no process writes to the journal.
    """
    file = journal_path(journal)
    process = writer_pid(file) if isinstance(file, Path) else None
    if process is None:
        change.apply()
        return None
    _send_signal(process, 0)
    store = open_for_reading(journal)
    last_seq = store.last_seq()
    change.apply()
    try:
        _send_signal(process, signal.SIGHUP)
        response = _wait_for_reload(store, last_seq, process, wait_s)
        if response.state == "reloaded" and response.model != expected_model:
            raise ConfigError(
                f"soundwatch, process {process}, uses {response.model} and not {expected_model}: it was started with "
                f"--model, or with another configuration than {change.path}. The file was restored."
            )
    except BaseException:
        change.undo()
        with contextlib.suppress(ConfigError):
            _send_signal(process, signal.SIGHUP)  # the daemon may have read the new file: reload the old one
        raise
    finally:
        store.close()
    if response.state == "refused":
        change.undo()
        raise ConfigError(f"soundwatch, process {process}, refused the new configuration: {response.detail}")
    return process


def _send_signal(process: int, number: int) -> None:
    """Send a signal; number 0 only checks the permission.

    Raises:
        ConfigError: The signal cannot be sent.
    """
    try:
        os.kill(process, number)
    except OSError as error:
        raise ConfigError(
            f"soundwatch, process {process}, cannot be signaled: {error.strerror}. Run this command as the user of "
            "that process, or as root; nothing was changed."
        ) from error


def _wait_for_reload(store: JournalStore, last_seq: int, process: int, wait_s: float) -> _HealthLine:
    """Wait for the `health` line that the daemon writes after a reload.

    Raises:
        StoreError: The daemon did not respond in time, or ended.
    """
    health_lines = query.LineFilter(after_seq=last_seq, types=("health",))
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        for entry in query.read_lines(store, health_lines):
            response = msgspec.json.decode(entry.line, type=_HealthLine)
            if response.reason == "configuration":
                return response
        if writer_pid(Path(store.path)) != process:
            raise StoreError(
                f"soundwatch, process {process}, ended during the reload; the configuration file was restored. See its "
                "log."
            )
        time.sleep(POLL_INTERVAL_S)
    raise StoreError(
        f"soundwatch, process {process}, did not respond to the new configuration within {wait_s:g} s; the file was "
        "restored. See its log, and its journal with `soundwatch tail --type health`."
    )

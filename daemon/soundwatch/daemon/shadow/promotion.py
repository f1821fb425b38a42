"""The model and its shadow change places, in the configuration file and in the program that runs.

Conventions: the change is proven before anything is touched: both files are opened as the daemon would, and the new
text is read back and held against what was meant. Whoever runs takes it up by SIGHUP, and says in its journal what
came of it.
Rule: if that is anything but the promotion, or no answer comes, the file is put back as it was to the byte.
Does not: stop or start anything.
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

from soundwatch.daemon.core.clock import format_datetime
from soundwatch.daemon.core.config import Config, JournalConfig, load_config
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.detection.rules import resolve_rules
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.journal import query
from soundwatch.daemon.journal.location import journal_path, open_for_reading
from soundwatch.daemon.journal.lock import writer_pid
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.shadow.build import load_shadow
from soundwatch.daemon.shadow.yaml_edit import set_yaml_value, write_atomically

ANSWER_S: Final = 60.0
LOOK_S: Final = 0.1


class PromotionRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The last promotion of a configuration, kept beside it for `rollback`.

    Attributes:
        time: When.
        model: What `model.file` has said since.
        before: What it said until then.
    """

    time: str
    model: str
    before: str


class _Answer(msgspec.Struct, frozen=True):
    """What is asked of the daemon's line."""

    reason: str
    state: str
    detail: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class PromotionResult:
    """What was done.

    Attributes:
        model: Identity of what decides now.
        shadow: Identity of what runs beside it now.
        model_file: As the configuration has it.
        shadow_file: The same.
        journal: That of the daemon which was to take it up.
        process: Who has taken it up; None where nobody writes to that journal.
    """

    model: str
    shadow: str
    model_file: str
    shadow_file: str
    journal: str
    process: int | None


def promote(path: Path, journal: JournalConfig, wait_s: float = ANSWER_S) -> PromotionResult:
    """Let the shadow decide, and what decided until now be its shadow.

    Args:
        path: The configuration file.
        journal: Of the daemon that runs with it.
        wait_s: How long it has to answer.

    Raises:
        SoundwatchError: The shadow cannot take over; all is as it was.
    """
    before = load_config(path)
    done = _exchange(path, before, journal, wait_s)
    now = format_datetime(datetime.now(UTC), "seconds")
    _record_of(path).write_bytes(
        msgspec.json.encode(PromotionRecord(time=now, model=done.model_file, before=done.shadow_file)) + b"\n"
    )
    return done


def roll_back(path: Path, journal: JournalConfig, wait_s: float = ANSWER_S) -> PromotionResult:
    """Let what decided before the last promotion decide again.

    Args:
        path: The configuration file.
        journal: Of the daemon that runs with it.
        wait_s: How long it has to answer.

    Raises:
        SoundwatchError: There was no promotion, or the configuration is another one since; all is as it was.
    """
    config = load_config(path)
    try:
        record = msgspec.json.decode(_record_of(path).read_bytes(), type=PromotionRecord)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} has seen no promotion that could be rolled back: there is no {_record_of(path)}. To let the "
            "shadow decide: soundwatch shadow promote."
        ) from None
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{_record_of(path)} cannot be read: {error}. Exchange the two files by hand.") from error
    if (config.model.file, config.shadow.file) != (record.model, record.before):
        raise ConfigError(
            f"{path} was changed since the promotion of {record.time}: model.file is {config.model.file} and "
            f"shadow.file {config.shadow.file}; {record.model} and {record.before} were wanted. Exchange them by hand."
        )
    done = _exchange(path, config, journal, wait_s)
    _record_of(path).unlink(missing_ok=True)
    return done


def _record_of(path: Path) -> Path:
    real = path.resolve()  # that is where the configuration was written, so this can be written too
    return real.with_name(f"{real.name}.promoted")


def _exchange(path: Path, before: Config, journal: JournalConfig, wait_s: float) -> PromotionResult:
    """Exchange `model.file` and `shadow.file`, in the file and in the program that runs."""
    if before.shadow.file is None:
        raise ConfigError(f"{path} names no shadow that could be promoted; name a model in shadow.file.")
    after = msgspec.structs.replace(
        before,
        model=msgspec.structs.replace(before.model, file=before.shadow.file),
        shadow=msgspec.structs.replace(before.shadow, file=before.model.file),
    )
    model = load_classifier(after.model).contract
    resolve_rules(after, model)
    shadow = load_shadow(after, model).contract
    content = path.read_bytes()
    text = set_yaml_value(content.decode(), "model", "file", before.shadow.file)
    text = set_yaml_value(text, "shadow", "file", before.model.file)
    process = _take_up(_Change(path, content, text.encode(), after), journal, model.identity, wait_s)
    place = str(journal_path(journal))
    return PromotionResult(model.identity, shadow.identity, before.shadow.file, before.model.file, place, process)


@dataclass(frozen=True, slots=True)
class _Change:
    """Another content of a configuration file.

    Attributes:
        path: The file.
        before: Its content.
        after: That it is to have.
        meant: What that has to say.
    """

    path: Path
    before: bytes
    after: bytes
    meant: Config

    def make(self) -> None:
        """Write it.

        Raises:
            ConfigError: It cannot be written, or would not say what is meant.
        """
        write_atomically(self.path, self.after, self._check)

    def undo(self) -> None:
        """Put the old content back, unless somebody else has written meanwhile."""
        if self.path.read_bytes() == self.after:
            write_atomically(self.path, self.before)

    def _check(self, new: Path) -> None:
        said = None
        with contextlib.suppress(ConfigError):
            said = load_config(new)
            # a path from the file's folder, and a link's folder is another one
            detection = msgspec.structs.replace(said.detection, calibration=self.meant.detection.calibration)
            said = msgspec.structs.replace(said, detection=detection)
        if said != self.meant:
            raise ConfigError(
                f"{self.path} is written in a way that cannot be changed for you. Exchange by hand: model.file is to "
                f"be {self.meant.model.file}, and shadow.file {self.meant.shadow.file}; then send SIGHUP to soundwatch."
            )


def _take_up(change: _Change, journal: JournalConfig, wanted: str, wait_s: float) -> int | None:
    """Make a change, and have it taken up by whoever writes to the journal.

    Args:
        change: The change.
        journal: The journal.
        wanted: Identity of the model that is to decide then.
        wait_s: How long to wait for an answer.

    Returns:
        Who that is; None where nobody is.
    """
    file = journal_path(journal)
    process = writer_pid(file) if isinstance(file, Path) else None
    if process is None:
        change.make()
        return None
    _hang_up(process, 0)
    store = open_for_reading(journal)
    last_seq = store.last_seq()
    change.make()
    try:
        _hang_up(process, signal.SIGHUP)
        answer = _answer(store, last_seq, process, wait_s)
        if answer.state == "reloaded" and answer.model != wanted:
            raise ConfigError(
                f"soundwatch, process {process}, goes on with {answer.model} and not with {wanted}: it was started "
                f"with --model, or with another configuration than {change.path}. That was put back as it was."
            )
    except BaseException:
        change.undo()
        with contextlib.suppress(ConfigError):
            _hang_up(process, signal.SIGHUP)  # whatever it has read of it: let it read the old one
        raise
    finally:
        store.close()
    if answer.state == "refused":
        change.undo()
        raise ConfigError(f"soundwatch, process {process}, has refused it: {answer.detail}")
    return process


def _hang_up(process: int, number: int) -> None:
    """Send a signal, or 0 to see whether that could be done.

    Raises:
        ConfigError: It cannot be sent.
    """
    try:
        os.kill(process, number)
    except OSError as error:
        raise ConfigError(
            f"soundwatch, process {process}, cannot be told: {error.strerror}. Call this as the user that it runs as, "
            "or as root; nothing was changed."
        ) from error


def _answer(store: JournalStore, last_seq: int, process: int, wait_s: float) -> _Answer:
    """What the daemon says to the configuration that it was told to read.

    Raises:
        StoreError: It says nothing, or has ended.
    """
    wanted = query.LineFilter(after_seq=last_seq, types=("health",))
    deadline_s = time.monotonic() + wait_s
    while time.monotonic() < deadline_s:
        for entry in query.read_lines(store, wanted):
            answer = msgspec.json.decode(entry.line, type=_Answer)
            if answer.reason == "configuration":
                return answer
        if writer_pid(Path(store.path)) != process:
            raise StoreError(
                f"soundwatch, process {process}, has ended meanwhile; the configuration was put back as it was. See "
                "its log."
            )
        time.sleep(LOOK_S)
    raise StoreError(
        f"soundwatch, process {process}, has said nothing in {wait_s:g} s to the new configuration, which was put back "
        "as it was. See its log, and its journal with `soundwatch tail --type health`."
    )

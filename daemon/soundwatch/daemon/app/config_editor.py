"""Changes the configuration file of the running daemon, and reloads it.

Conventions: a change is checked as `soundwatch check-config` checks a file. A tag of the content guards changes that
were made by hand meanwhile. The former content stays in `NAME.bak`.
Rule: a value that names a program, a destination or a file, or that decides which sound is recorded, is changed in the
file only, so that a stolen token cannot do that. If the reload is refused, the file is restored to the byte.
Does not: change values at their positions (`config/yaml_edit.py`) or decide what may be read
(`core/network/redact.py`).
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from soundwatch.daemon.app.build import InForce
from soundwatch.daemon.app.check import check_config
from soundwatch.daemon.app.config_diff import shown_diff
from soundwatch.daemon.app.config_guard import check_guarded
from soundwatch.daemon.app.reload import RunConfig, diff_configs, keep_restart_values, restart_keys
from soundwatch.daemon.config.change import ConfigBusyError, ConfigChange, ConfigConflictError, ConfigContent
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import parse_config, parse_yaml
from soundwatch.daemon.config.keys import is_protected, is_removable
from soundwatch.daemon.config.write import write_atomically, write_problem, write_with_copy
from soundwatch.daemon.config.yaml_edit import KeyPath, edit_yaml
from soundwatch.daemon.core.errors import ConfigError, SoundwatchError
from soundwatch.daemon.core.languages.language import Sentence, error_text
from soundwatch.daemon.core.network.redact import HIDDEN, redact_text
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.inference.loading import load_classifier

LOCK_S: Final = 5.0
DEEPEST: Final = 8
NO_FILE: Final = Sentence(
    "soundwatch runs without a configuration file, so no setting can be stored. Start it with --config FILE, or set "
    "SOUNDWATCH_CONFIG; an empty file is enough."
)


class FileEditor:
    """Editor of one configuration file.

    Args:
        path: The file; None if the daemon runs without one.
        reread: Returns the configuration and the sources that a content of the file gives.
        in_force: Returns what is in force.
        reload: Reads the file again; returns what has changed, or raises SoundwatchError.
        log: The log.
        lock_s: Longest wait for another change in seconds.
    """

    def __init__(
        self,
        path: Path | None,
        reread: Callable[[bytes], RunConfig],
        in_force: Callable[[], InForce],
        reload: Callable[[], str],
        log: Logger,
        lock_s: float = LOCK_S,
    ) -> None:
        self._path = path
        self._reread = reread
        self._in_force = in_force
        self._reload = reload
        self._log = log
        self._lock_s = lock_s
        self._lock = threading.Lock()

    def read(self) -> ConfigContent:
        """Return the present content.

        Raises:
            ConfigError: There is no file, or its content is wrong.
        """
        path, content = self._content()
        tree = parse_yaml(content, str(path)) or {}
        config = parse_config(content, path)
        return ConfigContent(path, _tag(content), config, frozenset(_paths(tree)), write_problem(path))

    def change(
        self, changes: Mapping[KeyPath, Any], removed: Sequence[KeyPath], tag: str, *, dry_run: bool
    ) -> ConfigChange:
        """Check and write other values, and reload.

        Args:
            changes: New values.
            removed: Keys to delete, so that their defaults are in force.
            tag: Tag of the content that the values were chosen for.
            dry_run: Write nothing.

        Raises:
            ConfigConflictError: The file has another content.
            ConfigBusyError: Another change is being applied, or this one is after the longest wait.
            ConfigError: A value is wrong, the file cannot be written, or the reload was refused.
        """
        if not self._lock.acquire(timeout=self._lock_s):
            raise ConfigBusyError(
                Sentence("Another change of settings is being applied; nothing was written. Try again later.")
            )
        try:
            return self._change(changes, removed, tag, dry_run=dry_run)
        finally:
            self._lock.release()

    def _change(
        self, changes: Mapping[KeyPath, Any], removed: Sequence[KeyPath], tag: str, *, dry_run: bool
    ) -> ConfigChange:
        path, before = self._content()
        if _tag(before) != tag:
            raise ConfigConflictError(
                Sentence(
                    "{path} was changed meanwhile. Reload the page and make the change again; nothing was written.",
                    path=str(path),
                )
            )
        _check_depth(changes, removed)
        _check_allowed(parse_yaml(before, str(path)), changes, removed)
        config = parse_config(before, path)
        text = before.decode()
        after = edit_yaml(text, changes, removed).encode()
        configs = config, parse_config(after, path)
        check_guarded(*configs)
        _check_unmixed(*configs)
        lines = shown_diff(text.lstrip("\ufeff"), after.decode().lstrip("\ufeff"), configs)
        restart = self._check(after)
        if after == before or dry_run:
            return ConfigChange("unchanged" if after == before else "checked", tag, lines, restart)
        backup = write_with_copy(path, after, lambda _: self._check_unchanged(path, before))
        keys = [".".join(key) for key in (*changes, *removed)]
        self._log.info("settings_saved", path=str(path), keys=keys, backup=str(backup))
        detail = "" if restart else self._reload_or_restore(path, before, after)
        return ConfigChange("restart" if restart else "reloaded", _tag(after), lines, restart, detail, str(backup))

    def _content(self) -> tuple[Path, bytes]:
        if self._path is None:
            raise ConfigError(NO_FILE)
        try:
            return self._path, self._path.read_bytes()
        except OSError as error:
            raise ConfigError(
                Sentence(
                    "{path} cannot be read: {reason}. Restore the file.",
                    path=str(self._path),
                    reason=str(error.strerror),
                )
            ) from error

    def _check(self, content: bytes) -> list[str]:
        """Check a content against the model; return the keys that need a restart."""
        run_config, in_force = self._reread(content), self._in_force()
        config, present = run_config.config, in_force.run_config.config
        contract = in_force.context.classifier.contract
        if (config.model, config.detection.tags) != (present.model, present.detection.tags):
            contract = load_classifier(config).contract
        check_config(config, contract)
        rest = keep_restart_values(present, config)
        if not restart_keys(present, rest):
            diff_configs(in_force.run_config, replace(run_config, config=rest))
        return _restart_keys(present, config)

    def _check_unchanged(self, path: Path, before: bytes) -> None:
        if path.read_bytes() != before:
            raise ConfigConflictError(
                Sentence("{path} was changed meanwhile; nothing was written. Reload the page.", path=str(path))
            )

    def _reload_or_restore(self, path: Path, before: bytes, after: bytes) -> str:
        try:
            return self._reload()
        except ConfigBusyError:  # the new content may be in force soon
            raise
        except SoundwatchError as error:
            if path.read_bytes() == after:
                write_atomically(path, before)
            raise ConfigError(
                Sentence("The change was refused and the file was restored: {reason}", reason=error_text(error))
            ) from error


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _paths(tree: Any, at: KeyPath = ()) -> Iterator[KeyPath]:
    """Yield the path of every value of a tree, and of every mapping."""
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield (*at, str(key))
        yield from _paths(value, (*at, str(key)))


def _leaves(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves((*path, str(key)), inner)
    else:
        yield path, value


def _check_depth(changes: Mapping[KeyPath, Any], removed: Sequence[KeyPath]) -> None:
    """Refuse values that are nested more deeply than any key."""
    level: list[tuple[int, str, Any]] = [(len(path), path[0], value) for path, value in changes.items()]
    level += [(len(path), path[0], None) for path in removed]
    while level:
        if any(depth > DEEPEST for depth, _, _ in level):
            name = next(name for depth, name, _ in level if depth > DEEPEST)
            raise ConfigError(f"{name} is nested more than {DEEPEST} levels deep. No key has so many levels.")
        level = [(depth + 1, name, inner) for depth, name, value in level for inner in _inner(value)]


def _inner(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _check_allowed(tree: Any, changes: Mapping[KeyPath, Any], removed: Sequence[KeyPath]) -> None:
    """Refuse values that only the file may change, and values that contain a hidden secret."""
    for path, value in changes.items():
        for inner, leaf in _leaves(path, value):
            _check_value(inner, leaf)
    for path in removed:
        _check_value(path, None)
    for path in (*changes, *(path for path in removed if not is_removable(path))):
        _check_inside(tree, path)


def _check_value(path: KeyPath, value: Any) -> None:
    """Refuse a value that the page may not write."""
    name = ".".join(path)
    if is_protected(path, value):
        raise ConfigError(
            Sentence(
                "{key} names a program, a destination or a file, or decides which sound is recorded, so the page "
                "cannot change it. Change it in the file.",
                key=name,
            )
        )
    if HIDDEN in str(value):
        raise ConfigError(
            Sentence("{key} contains {mark}, which stands for a secret. Change it in the file.", key=name, mark=HIDDEN)
        )
    if "://" in str(value) and redact_text(str(value)) != str(value):
        raise ConfigError(
            Sentence("{key} contains a secret. Write it to the file, which only its owner can read.", key=name)
        )


def _check_inside(tree: Any, path: KeyPath) -> None:
    """Refuse to replace or remove a key with a protected key inside."""
    lost = next((inner for inner in _paths(_at(tree, path), path) if is_protected(inner)), None)
    if lost is not None:
        raise ConfigError(
            Sentence(
                "{key} contains {inner}, which the page cannot change or remove. Change single keys of it, or "
                "change it in the file.",
                key=".".join(path),
                inner=".".join(lost),
            )
        )


def _at(tree: Any, path: KeyPath) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def _restart_keys(before: Config, after: Config) -> list[str]:
    tags = ["detection.tags"] if before.detection.tags != after.detection.tags else []
    return restart_keys(before, after) + tags


def _check_unmixed(before: Config, after: Config) -> None:
    """Refuse a change of keys that need a restart together with others, which a reload opens and can refuse."""
    restart = _restart_keys(before, after)
    if restart and keep_restart_values(before, after) != before:
        raise ConfigError(
            Sentence(
                "{keys} can be changed only by a restart, and other keys at once. Save them separately.",
                keys=", ".join(restart),
            )
        )

"""A program is run for each event: the line on its standard input, the most needed fields in its environment.

Conventions: no shell, no arguments. An event counts as delivered when its program has ended, however it ended; how is
told when it changes. A program that cannot be started is tried again, as every sink.
Rule for a program that hangs: after `timeout_s` it is killed with all that it has started. What it has started is also
killed when it ends by itself, so that no event leaves anything running.
Rule for many events at once: `at_once` programs run, the other events wait in the journal.
Does not: give programs the credentials that other sinks have from the environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import OpenedSink, SinkContext, SinkSpec, parse_options
from soundwatch.daemon.sinks.line_filter import Fields, matching_lines, parse_types

KEPT_OUTPUT_BYTES: Final = 4096
AFTERMATH_S: Final = 5.0
FIELDS: Final = (
    *("type", "seq", "id", "time", "node", "source", "class", "score", "peak_score", "level_dbfs"),
    *("onset", "offset", "duration_s", "reason", "repeated"),
)
SECRETS: Final = ("MQTT_USERNAME", "MQTT_PASSWORD", "SOUNDWATCH_TOKEN")


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `command` can be told.

    Attributes:
        types: The lines that a program is run for.
        at_once: How many may run at the same time; more than one may end in another order.
        timeout_s: After which one is killed.
    """

    types: str = "start+end"
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    timeout_s: Annotated[float, msgspec.Meta(gt=0)] = 30.0


class CommandSink:
    """A program that is run for each event.

    Args:
        path: It.
        types: The lines that it is run for.
        options: How many at once, and for how long.
        sink_context: Whom it is told how they end.
    """

    def __init__(self, path: Path, types: frozenset[str], options: CommandOptions, sink_context: SinkContext) -> None:
        self.name = f"command:{path}"
        self._path = path
        self._options = options
        self._sink_context = sink_context
        self._types = types
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()  # guards it, and the next
        self._ended = "with exit code 0"
        self._closed = threading.Event()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Run the program for each line that is wanted, all at the same time, and wait until they have ended.

        Raises:
            OSError: One could not be started.
        """
        failures: list[OSError] = []
        wanted = [(entry, fields, failures) for entry, fields in matching_lines(entries, self._types)]
        threads = [threading.Thread(target=self._run, args=each, daemon=True) for each in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Kill what runs."""
        self._closed.set()
        with self._lock:
            for process in self._running:
                _kill(process)

    def _run(self, entry: JournalEntry, fields: Fields, failures: list[OSError]) -> None:
        """Run it once, to its end."""
        try:
            process = self._start(fields)
        except OSError as error:
            failures.append(error)
            return
        output = bytearray()
        reader = threading.Thread(target=_read, args=(process, output), daemon=True)
        reader.start()
        with contextlib.suppress(OSError), contextlib.closing(process.stdin) as stdin:  # type: ignore[type-var]
            os.write(stdin.fileno(), entry.marked)  # type: ignore[union-attr]  # an empty pipe takes a line whole
        try:
            process.wait(self._options.timeout_s)
            ended = (
                f"with exit code {process.returncode}"
                if process.returncode >= 0
                else f"by signal {-process.returncode}"
            )
        except subprocess.TimeoutExpired:
            ended = f"by being killed after {self._options.timeout_s:g} s"
        _kill(process)
        process.wait()
        reader.join(AFTERMATH_S)
        with self._lock:
            self._running.discard(process)
        if self._closed.is_set():
            failures.append(InterruptedError("soundwatch was stopped while it ran"))
            return
        self._tell(ended, bytes(output).decode(errors="replace").strip())

    def _start(self, fields: Fields) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed.is_set():
                raise InterruptedError("soundwatch is being stopped")
            process = subprocess.Popen(  # noqa: S603  # the program is the user's own, and no shell is asked
                [self._path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(fields),
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _tell(self, ended: str, output: str) -> None:
        self._sink_context.log.debug("a program ended", sink=self.name, ended=ended, output=output)
        with self._lock:
            before, self._ended = self._ended, ended
        if before != ended:
            self._sink_context.log.warning(f"a program ended {ended}", sink=self.name, output=output[-200:])


def open_command(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sink `command:PATH`.

    Raises:
        ConfigError: An option is wrong.
        SinkError: There is no such program.
    """
    options = parse_options(spec, CommandOptions)
    if not spec.target:
        raise ConfigError("-F command names no program; command:PATH was wanted.")
    path = Path(spec.target).expanduser().absolute()
    if not path.is_file() or not os.access(path, os.X_OK):
        what = "cannot be executed" if path.is_file() else "is no file"
        raise SinkError(f"{path} {what}. Give the path of a program, without arguments; make it executable (chmod +x).")
    sink = CommandSink(path, parse_types(spec, options.types), options, sink_context)
    return OpenedSink(sink, durable=True, most=options.at_once)


def _environment(fields: Fields) -> Mapping[str, str]:
    """The daemon's own without secrets, and the fields as SOUNDWATCH_CLASS and so on."""
    own = {key: value for key, value in os.environ.items() if key not in SECRETS}
    said = {key: fields[key] for key in FIELDS if fields.get(key) is not None}
    texts = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in said.items()
    }
    return own | {f"SOUNDWATCH_{key.upper()}": text.replace("\0", "") for key, text in texts.items()}


def _read(process: subprocess.Popen[bytes], output: bytearray) -> None:
    """Read what a program says to its end, and keep the beginning."""
    assert process.stdout is not None
    with contextlib.suppress(OSError), process.stdout as stdout:
        while chunk := os.read(stdout.fileno(), 65_536):
            output += chunk[: KEPT_OUTPUT_BYTES - len(output)]


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()

"""Runs a program for each event: the line on its standard input, the main fields in its environment.

Conventions: no shell, no arguments. An event counts as delivered when its program has ended, with any exit status; a
change of the exit status is logged. A program that cannot be started is tried again, as every sink is.
Rule for a program that hangs: after `timeout_s` the program and all its children are killed. Children are also killed
when the program ends by itself, so that no event leaves a process running. The time includes the writing of the line,
which a program need not read.
Rule for many events at once: `max_parallel` programs run; the other events wait in the journal.
Does not: give programs the credentials that other sinks have from the environment.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec

from soundwatch.daemon.config.rules import secret_variables
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import expand_path, is_file, is_there
from soundwatch.daemon.core.network.redact import redact_sink
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.time.clock import DAY_S
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.line_filter import Fields, matching_lines, parse_types
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec

KEPT_OUTPUT_BYTES: Final = 4096
OUTPUT_S: Final = 5.0
PIPE_BYTES: Final = 512  # a pipe that is ready takes them whole
POLL_S: Final = 0.1
FIELDS: Final = (
    *("type", "seq", "id", "time", "node", "source", "class", "score", "peak_score", "level_dbfs"),
    *("onset", "offset", "duration_s", "reason", "repeated"),
    *("rule", "title", "body", "merged", "clip"),  # of an alert rule's message
)
SECRET: Final = re.compile(r"(MQTT|SOUNDWATCH)_(.*_)?(USERNAME|PASSWORD|TOKEN|SECRET|KEY)")


class CommandOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `command`.

    Attributes:
        types: Types of lines that the program is run for.
        max_parallel: Number of programs that may run at once; with more than one, they may end in another order.
        at_once: Former name of `max_parallel`; accepted until version 0.2.
        timeout_s: Time after which a program is killed.
    """

    types: str = "start+end"
    max_parallel: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    at_once: Annotated[int, msgspec.Meta(ge=1, le=64)] | None = None
    timeout_s: Annotated[float, msgspec.Meta(gt=0, le=DAY_S)] = 30.0


class CommandSink:
    """A program that is run for each event.

    Args:
        path: Path of the program.
        types: Types of lines that the program is run for.
        timeout_s: Time after which a program is killed.
        log: Log of the daemon.
        secrets: Returns the names of variables of the environment that the program does not get.
    """

    def __init__(
        self,
        path: Path,
        types: frozenset[str],
        timeout_s: float,
        log: Logger,
        secrets: Callable[[], Collection[str]],
    ) -> None:
        self._path = path
        self._types = types
        self._timeout_s = timeout_s
        self._log = log
        self._secrets = secrets
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()  # guards the running programs and the status
        self._exit_status = "exit code 0"
        self._closed = threading.Event()
        self.on_settled: Callable[[int], object] = lambda _: None

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Run the program for each matching line, all at once, and wait for their ends.

        Raises:
            OSError: A program could not be started.
        """
        failures: dict[int, OSError] = {}
        wanted = [(entry, fields, failures) for entry, fields in matching_lines(entries, self._types)]
        threads = [threading.Thread(target=self._run, args=arguments, daemon=True) for arguments in wanted]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            first_seq = min(failures)
            self.on_settled(first_seq - 1)
            raise failures[first_seq]

    def close(self) -> None:
        """Kill the running programs."""
        self._closed.set()
        with self._lock:
            for process in self._running:
                _kill(process)

    def _run(self, entry: JournalEntry, fields: Fields, failures: dict[int, OSError]) -> None:
        """Run the program once, to its end; the target of a thread."""
        try:
            self._run_to_end(entry, fields, failures)
        except OSError as error:
            failures[entry.seq] = error
        except Exception as error:  # noqa: BLE001  # as without memory; the line is delivered again
            failures[entry.seq] = OSError(f"{type(error).__name__}: {error}")

    def _run_to_end(self, entry: JournalEntry, fields: Fields, failures: dict[int, OSError]) -> None:
        process = self._start(fields)
        exit_status, output = self._exchange(process, entry.encoded)
        if self._closed.is_set():
            failures[entry.seq] = InterruptedError("soundwatch was stopped while it ran")
            return
        self._log_end(exit_status, output)

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> tuple[str, str]:
        """Write the line and read the output until the program has ended; return the exit status and the output."""
        output, ended = bytearray(), threading.Event()
        pipes = [
            threading.Thread(target=_write, args=(process, line, ended), daemon=True),
            threading.Thread(target=_read, args=(process, output, ended), daemon=True),
        ]
        try:
            for thread in pipes:
                thread.start()
            code = process.wait(self._timeout_s)
            exit_status = f"exit code {code}" if code >= 0 else f"signal {-code}"
        except subprocess.TimeoutExpired:
            exit_status = f"killed after {self._timeout_s:g} s"
        finally:
            _kill(process)
            process.wait()
            ended.set()
            with self._lock:
                self._running.discard(process)
        for thread in pipes:
            thread.join(OUTPUT_S)
        return exit_status, bytes(output).decode(errors="replace").strip()

    def _start(self, fields: Fields) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed.is_set():
                raise InterruptedError("soundwatch is being stopped")
            process = subprocess.Popen(  # noqa: S603  # the user's own program, without a shell
                [self._path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(fields, self._secrets()),
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def _log_end(self, exit_status: str, output: str) -> None:
        self._log.debug("command_finished", command=str(self._path), exit_status=exit_status, output=output)
        with self._lock:
            before, self._exit_status = self._exit_status, exit_status
        if before != exit_status:
            log = self._log.info if exit_status == "exit code 0" else self._log.warning
            log("command_status_changed", command=str(self._path), exit_status=exit_status, output=output[-200:])


def prepare_command(spec: SinkSpec, options: CommandOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `command:PATH`.

    Raises:
        ConfigError: The path is missing, or a type of line is unknown.
    """
    if not spec.target:
        raise ConfigError("-F command names no program; command:PATH was expected.")
    path, types = expand_path(spec.target).absolute(), parse_types(spec, options.types)

    def open_() -> CommandSink:
        _check(path)
        return CommandSink(path, types, options.timeout_s, view.log, lambda: secret_variables(view.config().rules))

    return PreparedSink(
        name=f"command:{path}",
        place=("command", str(path)),
        open=open_,
        check=lambda: _check(path),
        durable=True,
        batch_lines=options.at_once or options.max_parallel,
    )


def _check(path: Path) -> None:
    """Check that a path names a program.

    Raises:
        SinkError: The file is missing or not executable.
    """
    if not is_file(path) or not os.access(path, os.X_OK):
        fault = "cannot be executed" if is_file(path) else "is no file"
        shown = str(path) if is_there(path) else redact_sink(f"command:{path}").removeprefix("command:")
        raise SinkError(
            f"{shown} {fault}. Give the path of a program, without arguments; make it executable (chmod +x)."
        )


def _environment(fields: Fields, secrets: Collection[str]) -> Mapping[str, str]:
    """Return the daemon's environment without secrets, with the fields as SOUNDWATCH_CLASS and so on."""
    own = {key: value for key, value in os.environ.items() if key not in secrets and not SECRET.fullmatch(key)}
    values = {key: fields[key] for key in FIELDS if fields.get(key) is not None}
    texts = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode() for key, value in values.items()
    }
    return own | {f"SOUNDWATCH_{key.upper()}": text.replace("\0", "") for key, text in texts.items()}


def _write(process: subprocess.Popen[bytes], line: bytes, ended: threading.Event) -> None:
    """Write a line to a program's input, until the line is written or the program has ended."""
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin as stdin:
        while line and _wait_ready(stdin.fileno(), "POLLOUT", ended):
            line = line[os.write(stdin.fileno(), line[:PIPE_BYTES]) :]


def _read(process: subprocess.Popen[bytes], output: bytearray, ended: threading.Event) -> None:
    """Read a program's output to its end, and keep the beginning.

    A process that the program started in another session may hold the output open; that is not waited for.
    """
    assert process.stdout is not None
    with contextlib.suppress(OSError), process.stdout as stdout:
        while _wait_ready(stdout.fileno(), "POLLIN", ended) and (chunk := os.read(stdout.fileno(), 65_536)):
            output += chunk[: KEPT_OUTPUT_BYTES - len(output)]


def _wait_ready(descriptor: int, event: str, ended: threading.Event) -> bool:
    """Wait until a pipe is ready; return False once the program has ended and the pipe is not ready."""
    if not hasattr(select, "poll"):  # Windows: reading and writing wait for the pipe
        return True
    poll = select.poll()
    poll.register(descriptor, getattr(select, event))
    while True:
        has_ended = ended.is_set()
        if poll.poll(0 if has_ended else POLL_S * 1000):
            return True
        if has_ended:
            return False


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and its children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()

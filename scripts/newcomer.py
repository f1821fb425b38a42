#!/usr/bin/env python3
"""Run every command of README.md in a new clone and a new environment: `make newcomer`.

The commands are read from the code blocks of README.md. The script supplies what README.md takes for granted:
recordings, rules, a broker, and a microphone, which is a source of PulseAudio that plays the demo scene.

Conventions: standard library only, since it runs before anything is installed. A command without an end gets SIGINT. A
command fails if its exit code is neither 0 nor in `EXIT_CODES`, or if it prints a traceback.
Does not: run the test suite (`make test`), or train to the end: training runs for one epoch, and only with --data.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
PORT: Final = 18_839  # of the broker
LIMIT_S: Final = 1500  # for a command that ends by itself: downloads take minutes
STOP_S: Final = 120  # for the end after SIGINT
RULES: Final = "rules:\n  siren: {when: {classes: [siren]}, then: {send: [command:/bin/true]}}\n"
RECORDINGS: Final = """
import pathlib, soundfile
from soundwatch.daemon.capture.demo.scene import demo_scene
pathlib.Path("recordings").mkdir(exist_ok=True)
for name in ("street.wav", "yard.flac", "recordings/street.wav"):
    soundfile.write(name, demo_scene(44_100, 60.0).T, 44_100)
"""

# Texts of README.md that stand for something of the reader's own, and what they are here.
PLACES: Final = {
    '--device "USB PnP"': "--device pulse",  # the name that PortAudio has for a source of PulseAudio
    "mqtt://broker.lan": f"mqtt://127.0.0.1:{PORT}",
    "mqtt://HOST": f"mqtt://127.0.0.1:{PORT}",
    "-F json:events.jsonl": "-F json:events.jsonl --journal memory",
}
# Commands that do not end by themselves, and the seconds after which they are stopped; the first match counts.
ENDLESS: Final = (
    (r"make run", 600.0),
    (r"soundwatch run --config", 20.0),
    (r"soundwatch run --model", 20.0),
    (r"soundwatch calibrate", 20.0),
    (r"soundwatch (run|tail --follow|fleet watch)|.*\| soundwatch run", 12.0),
)
# Codes other than 0 that are right here, with the reason.
EXIT_CODES: Final = {
    "soundwatch run | ": {130},  # the reader's own code for SIGINT
    "soundwatch privacy audit": {12},  # data leaves, by the configuration
    "soundwatch shadow report": {2},  # no shadow model has run
    "soundwatch calibrate": {2, 4},  # stopped before ten minutes have passed
    "make run": {2, 130, -signal.SIGINT},  # make's own codes for SIGINT
}
LISTENS: Final = re.compile(rb'"event": ?"listening"|listening +|"type":"hello"')


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one command.

    Attributes:
        command: The line of README.md.
        result: `ok`, `failed` or `not run`.
        detail: Exit code, or the reason.
        wall_s: Seconds that the command took.
        output: Standard output and standard error.
    """

    command: str
    result: str
    detail: str
    wall_s: float = 0.0
    output: str = ""


def shown_commands(text: str) -> list[str]:
    """Return the command lines of a page: of its blocks of type sh, and of lines that are indented."""
    block, lines = None, []
    for line in text.splitlines():
        if line.startswith("```"):
            block = line[3:] if block is None else None
        elif block == "sh" or (block is None and line.startswith("    ")):
            lines.append(line.strip())
    return lines


def without_comment(line: str) -> str:
    """Return a command line without its comment."""
    return re.split(r"\s+#\s", line, maxsplit=1)[0]


def seconds_until_stop(command: str) -> float | None:
    """Return the seconds after which a command is stopped; None for one that ends by itself."""
    if "replay" in command or "rules test" in command:
        return None
    return next((seconds for pattern, seconds in ENDLESS if re.match(pattern, command)), None)


def needed_extra(line: str) -> str | None:
    """Return the command in the comment of a line that installs what the line needs."""
    found = re.search(r"#.*needs (pip install '[^']+')", line)
    return found[1] if found else None


class Newcomer:
    """A person with an empty home folder who types the commands.

    Attributes:
        folder: Holds the clone, the home folder and the outputs.
        env: Environment of the commands.
    """

    def __init__(self, folder: Path, repository: Path, cpu: bool, data: Path | None) -> None:
        self.folder, self.clone = folder, folder / "soundwatch"
        self._repository, self._cpu, self._data = repository, cpu, data
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        ours = ("XDG_", "VIRTUAL_ENV", "PYTHON", "MAKE", "MFLAGS", "OPTIONS")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
        path = f"{self.clone}/.venv/bin:{os.environ['PATH']}"
        self.env = kept | {"HOME": str(home), "PATH": path, "PULSE_SERVER": f"unix:{home}/native", "NO_COLOR": "1"}

    def type_line(self, line: str) -> Outcome:
        """Run one line of README.md."""
        extra = needed_extra(line)
        if extra is not None and (installed := self._run(self.adapted(extra), line)).result == "failed":
            return installed
        command = self.adapted(without_comment(line))
        if command == "make test":
            return Outcome(line, "not run", "the test suite")
        if command.startswith("arecord") and shutil.which("arecord") is None:
            return Outcome(line, "not run", "arecord is not installed")
        if (
            re.match(
                r"soundwatch (train|export)|soundwatch run --model|(make extras|pip install) .*training",
                command,
            )
            and not self._data
        ):
            return Outcome(line, "not run", "no --data")
        return self._run(command, line)

    def adapted(self, command: str) -> str:
        """Return a command with what README.md leaves to its reader: places, files, the kind of installation."""
        for shown, here in PLACES.items():
            command = command.replace(shown, here)
        command = command.replace("<this repository>", str(self._repository))
        if self._cpu:  # README.md has both
            command = re.sub(r"^make run$", "make run CPU=1", command)
            command = re.sub(r"^pip install '\.\[([\w,]+)\]'$", r"make extras EXTRAS=\1", command)
        if command.startswith("soundwatch train") and self._data:
            data = {
                "UrbanSound8K": "data/urbansound8k",
                "yamnet.tflite": "models/yamnet.tflite",
                "SOUNDS": "data/sounds",
            }
            for shown, under in data.items():
                command = re.sub(rf"(?<= ){re.escape(shown)}(?= )", str(self._data / under), command)
            command = re.sub(
                r"--train-folds \S+ --test-folds \S+", "--train-folds 2 --test-folds 1 --epochs 1", command
            )
        return command

    def _run(self, command: str, line: str = "") -> Outcome:
        """Run a command in the clone, or beside where there is none yet; stop it when its time is over."""
        began = time.monotonic()
        stop_s = seconds_until_stop(command)
        output = self.folder / "output.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.clone if self.clone.exists() else self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = self._wait(process, stop_s, output)
            except subprocess.TimeoutExpired:
                code = -signal.SIGKILL
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        text = output.read_text("utf-8", "replace")
        codes = {0} | next((codes for start, codes in EXIT_CODES.items() if command.startswith(start)), set())
        good = code in codes and "Traceback (most recent" not in text
        if stop_s is not None and re.search(r"\brun\b", command):
            good = good and LISTENS.search(text.encode()) is not None
        return Outcome(line or command, "ok" if good else "failed", f"exit code {code}", time.monotonic() - began, text)

    def _wait(self, process: subprocess.Popen[bytes], stop_s: float | None, output: Path) -> int:
        if stop_s is None:
            return process.wait(LIMIT_S)
        give_up = time.monotonic() + max(stop_s, 30)
        while process.poll() is None and time.monotonic() < give_up and not LISTENS.search(output.read_bytes()):
            time.sleep(0.2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(min(stop_s, 20))
        os.killpg(process.pid, signal.SIGINT)
        return process.wait(STOP_S)

    def prepare(self) -> None:
        """Write the files that README.md takes for granted."""
        (self.clone / "rules.yaml").write_text(RULES)
        subprocess.run([self.clone / ".venv/bin/python", "-c", RECORDINGS], cwd=self.clone, check=True)


class Surroundings:
    """Other programs of a user: a broker, and later a microphone.

    Args:
        env: Environment of the commands.
    """

    def __init__(self, env: dict[str, str]) -> None:
        self._env = env
        self._started: list[subprocess.Popen[bytes]] = []
        self._start(shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto", "-p", str(PORT))

    def plug_in_microphone(self, recording: Path) -> None:
        """Start a sound server whose one source plays a recording again and again."""
        socket = f"module-native-protocol-unix socket={self._env['HOME']}/native auth-anonymous=1"
        self._start("pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no", "-L", socket)
        plug = "until pactl load-module module-null-sink sink_name=usb; do sleep 0.1; done"
        self._start("bash", "-c", f"{plug}; while paplay -d usb {recording}; do :; done")
        time.sleep(2)

    def close(self) -> None:
        """End all programs."""
        for process in self._started:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, *command: str) -> None:
        quiet = subprocess.DEVNULL
        self._started.append(
            subprocess.Popen(command, env=self._env, stdout=quiet, stderr=quiet, start_new_session=True)
        )


def main() -> int:
    """Run the commands, print a table, and return the number of failures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repository", type=Path, default=ROOT, help="Repository to clone. [default: this one]")
    parser.add_argument("--cpu", action="store_true", help="Install the small wheel, as `make run CPU=1` does.")
    parser.add_argument(
        "--data", type=Path, help="Folder with data/urbansound8k, data/sounds and models/yamnet.tflite."
    )
    parser.add_argument("--out", type=Path, help="File for the outputs of all commands.")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a shell has started this in the background
    lines = shown_commands((ROOT / "README.md").read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="newcomer-") as name:
        person = Newcomer(Path(name), options.repository, options.cpu, options.data)
        outcomes = list(_outcomes(person, lines))
    if options.out:
        options.out.write_text("".join(f"$ {o.command}\n{o.output}[{o.result}: {o.detail}]\n\n" for o in outcomes))
    counts = {result: sum(o.result == result for o in outcomes) for result in ("ok", "failed", "not run")}
    print(", ".join(f"{count} {result}" for result, count in counts.items()))
    return min(counts["failed"], 1)


def _outcomes(person: Newcomer, lines: list[str]) -> Iterator[Outcome]:
    """Run the lines; the microphone appears after `make run`, which has to cope without one."""
    with contextlib.closing(Surroundings(person.env)) as surroundings:
        for line in lines:
            outcome = person.type_line(line)
            print(f"{outcome.result:<8} {outcome.wall_s:7.1f} s  {outcome.detail:<16} {line}", flush=True)
            if outcome.result == "failed":
                print(outcome.output[-2000:], flush=True)
            yield outcome
            if line.startswith("make run"):
                person.prepare()
                surroundings.plug_in_microphone(person.clone / "street.wav")


if __name__ == "__main__":
    sys.exit(main())

"""`soundwatch fleet` as its user runs it: real daemons, a real broker, a real PostgreSQL, and all of them killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.cli import main
from soundwatch.daemon.fleet.store import FleetStore
from soundwatch.daemon.journal.store import JournalStore
from support.cli_runner import SOUNDWATCH, lines_of, soundwatch
from support.mosquitto import Mosquitto, wait_until
from support.ports import free_port
from support.postgres import Postgres
from support.pty_terminal import Terminal

Begin = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts the program, and ends it after the test."""
    programs: list[subprocess.Popen[bytes]] = []

    def started(*arguments: str, out: str = "out", **environment: str) -> subprocess.Popen[bytes]:
        with (tmp_path / out).open("ab") as lines, (tmp_path / f"{out}.err").open("ab") as log:
            program = subprocess.Popen([SOUNDWATCH, *arguments], stdout=lines, stderr=log, env=os.environ | environment)
        programs.append(program)
        return program

    yield started
    for program in programs:
        if program.poll() is None:
            program.kill()
        program.wait(60)
    for log in tmp_path.glob("*.err"):
        assert "Traceback" not in log.read_text(), log.read_text()


@contextmanager
def daemon(begin: Begin, folder: Path, broker: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    config = folder / f"{name}.yaml"
    config.write_text(f"node: {name}\nsinks: ['mqtt://{broker},fleet=1,report_s=0.5']\n")
    words = ("run", "--config", str(config), "--device", "demo", "--journal", str(folder / name / "journal.db"))
    yield begin(*words, out=f"{name}.lines")


def watching(mosquitto: Mosquitto, folder: Path) -> list[str]:
    """Return the arguments of `fleet watch` with its own store."""
    where = ["--broker", f"mqtt://{mosquitto.address}", "--store", str(folder / "f.db")]
    return [SOUNDWATCH, "fleet", "watch", *where]


def nodes(store: str) -> dict[str, dict[str, Any]]:
    """Return the output of `fleet nodes`, by node."""
    done = soundwatch("fleet", "nodes", "--store", store)
    assert done.returncode == 0, done.stderr
    return {line["node"]: line for line in map(json.loads, done.stdout.splitlines())}


def shown(folder: Path) -> list[dict[str, Any]]:
    """What `fleet watch` has printed, whole lines only."""
    text = (folder / "fleet").read_bytes() if (folder / "fleet").exists() else b""
    return lines_of(text[: text.rfind(b"\n") + 1])


def test_two_machines_and_a_fleet_that_is_killed_and_its_store_too(
    begin: Begin, mosquitto: Mosquitto, postgres: Postgres, tmp_path: Path
) -> None:
    store = postgres.database()
    watch = ("fleet", "watch", "--broker", f"mqtt://{mosquitto.address}", "--store", store)
    fleet = begin(*watch, out="fleet")
    wait_until(lambda: b"broker_available" in (tmp_path / "fleet.err").read_bytes())
    with (
        daemon(begin, tmp_path, mosquitto.address, "edge1") as one,
        daemon(begin, tmp_path, mosquitto.address, "edge2") as two,
    ):
        wait_until(lambda: {line["node"] for line in shown(tmp_path)} == {"edge1", "edge2"}, "both")
        fleet.kill()
        fleet.wait(60)
        wait_until(lambda: journal_of(tmp_path, "edge1") > 2, "something that nobody gathers")
        postgres.end()
        fleet = begin(*watch, out="fleet")
        assert fleet.wait(60) == 9, "at its start the store has to be there"
        assert b"cannot be opened" in (tmp_path / "fleet.err").read_bytes()
        postgres.start()
        fleet = begin(*watch, out="fleet")
        wait_until(lambda: any(line["type"] == "start" for line in shown(tmp_path)), "what was missed")
        postgres.end()
        wait_until(lambda: b"store_unavailable" in (tmp_path / "fleet.err").read_bytes())
        postgres.start()
        one.send_signal(signal.SIGTERM)
        two.kill()
        one.wait(60)
        two.wait(60)
        expected = {(name, seq) for name in ("edge1", "edge2") for seq in range(1, journal_of(tmp_path, name) + 1)}
        wait_until(lambda: states(store) == {"edge1": "stopped", "edge2": "offline"}, "the last will")
        with daemon(begin, tmp_path, mosquitto.address, "edge2"):  # it still has what it could not send

            def keys() -> list[tuple[str, int]]:
                return [(line["node"], line["seq"]) for line in shown(tmp_path)]

            wait_until(lambda: expected <= set(keys()), "every line")
            assert len(keys()) == len(set(keys())), "each is shown once"
    found = nodes(store)
    assert (found["edge1"]["lost_lines"], found["edge2"]["lost_lines"]) == (0, 0)
    assert found["edge1"]["model"].startswith("urban@sha256:")
    assert found["edge1"]["coverage"] == 1.0
    assert abs(found["edge1"]["skew_s"]) < 30
    fleet.send_signal(signal.SIGTERM)
    assert fleet.wait(60) == 0
    last = json.loads((tmp_path / "fleet.err").read_bytes().splitlines()[-1])
    assert (last["event"], last["nodes"], last["lost"], last["refused"]) == ("fleet_stopped", 2, 0, 0)
    assert {"lines", "repeats", "dropped", "asked"} <= last.keys(), "as docs/fleet.md says"
    asked = soundwatch("fleet", "events", "--store", store, "--node", "edge1", "--type", "start", "--since", "1h")
    starts = lines_of(asked.stdout)
    assert starts
    assert {line["node"] for line in starts} == {"edge1"}
    table = tmp_path / "events.csv"
    assert soundwatch("fleet", "events", "--store", store, "--out", str(table)).returncode == 0
    assert "siren" in table.read_text()


def states(store: str) -> dict[str, str]:
    """Return the states in the store, by node: read in this process, since a program for each look takes long."""
    reading = FleetStore(store, writing=False)
    try:
        return {node.name: node.state(time.time_ns()) for node in reading.nodes()}
    finally:
        reading.close()


def journal_of(folder: Path, name: str) -> int:
    """Return the number of lines of a machine's journal, so far."""
    reading = JournalStore(folder / name / "journal.db", writing=False)
    try:
        return reading.last_seq()
    finally:
        reading.close()


def test_a_terminal_shows_the_nodes_and_their_events(begin: Begin, mosquitto: Mosquitto, tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("there are no pseudo-terminals")
    command = watching(mosquitto, tmp_path)
    terminal = Terminal(command, columns=110, rows=24)
    try:
        terminal.wait_for(lambda lines: any("0 machines" in line for line in lines))
        with daemon(begin, tmp_path, mosquitto.address, "edge1") as one:
            lines = terminal.wait_for(lambda lines: any("siren at demo" in line for line in lines))
            assert any("edge1" in line and "online" in line and "1 of 1" in line for line in lines)
            assert any("▶" in line and "siren" in line for line in lines)
            one.kill()
            terminal.wait_for(lambda lines: any("It was killed, or its connection" in line for line in lines))
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0
        assert b"Traceback" not in terminal.written
    finally:
        terminal.close()


def test_invalid_messages_are_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments, code, said in (
        (["watch", "--broker", "http://x"], 2, "is not a broker"),
        (["watch", "--broker", "mqtt://me:secret@x"], 2, "credentials do not belong"),
        (["watch", "--broker", "mqtt://x,retain=1"], 2, "retain is no option"),
        (
            ["watch", "--broker", "mqtt://x", "--store", "postgresql://me:secret@x/y"],
            2,
            "the address contains a password",
        ),
        (["watch", "--broker", "mqtt://x", "--store", "mysql://x/y"], 2, "is not a store"),
        (["nodes", "--store", str(tmp_path / "none.db")], 9, "There is no fleet store"),
        (["events", "--store", str(tmp_path / "none.db"), "--since", "#5"], 2, "is the number of a line of one node"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(["fleet", *arguments])
        err = capfd.readouterr().err
        assert (stopped.value.code, said in err) == (code, True), err
        assert "secret" not in err


def test_a_broker_that_is_not_there_is_looked_for_until_it_is_stopped(begin: Begin, tmp_path: Path) -> None:
    fleet = begin("fleet", "watch", "--broker", f"mqtt://127.0.0.1:{free_port()}", "--store", str(tmp_path / "f.db"))
    wait_until(lambda: b"broker_unavailable" in (tmp_path / "out.err").read_bytes())
    fleet.send_signal(signal.SIGTERM)
    assert fleet.wait(60) == 0


def test_a_closed_reader_ends_the_sink(mosquitto: Mosquitto, begin: Begin, tmp_path: Path) -> None:
    command = watching(mosquitto, tmp_path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as fleet:
        assert fleet.stdout is not None
        fleet.stdout.close()
        with daemon(begin, tmp_path, mosquitto.address, "edge1"):
            assert fleet.wait(60) == 6
        assert fleet.stderr is not None
        assert b"All received lines are stored" in fleet.stderr.read()


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("sqlalchemy", ("watch", "--broker", "mqtt://127.0.0.1")),
        ("sqlalchemy", ("nodes",)),
        ("sqlalchemy", ("events",)),
        ("psycopg", ("nodes", "--store", "postgresql://127.0.0.1/fleet")),
    ],
)
def test_a_missing_package_of_the_extra_is_one_sentence(missing: str, words: tuple[str, ...]) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from soundwatch.daemon.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, "fleet", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"soundwatch: This command needs the Python package {missing}, which is not installed. "
        "Install it with `pip install '.[fleet]'` in a clone of soundwatch.\n"
    )

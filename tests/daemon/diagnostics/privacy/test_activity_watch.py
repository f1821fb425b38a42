"""A running program's sockets and files, of real processes, held against a configuration."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config, JournalConfig
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.diagnostics.privacy.activity_watch import WatchReport, find_daemon, report_text, watch
from soundwatch.daemon.diagnostics.privacy.process_table import open_sockets
from support.cli_runner import SOUNDWATCH, soundwatch
from support.mosquitto import Mosquitto, wait_until
from support.ports import free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc here")

# Opens what its arguments say, in a child of its own where they begin with "child", and waits until its input ends.
PROGRAM = """
import json, os, socket, subprocess, sys
held = []
for kind, *rest in json.loads(sys.argv[1]):
    if kind == "connect":
        held.append(socket.create_connection(rest))
    elif kind == "listen":
        held.append(socket.create_server(tuple(rest)))
    elif kind == "udp":
        held.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)); held[-1].connect(tuple(rest))
    elif kind == "pair":
        server = socket.create_server(("127.0.0.1", 0))
        held += [*socket.socketpair(), socket.create_connection(server.getsockname()), server.accept()[0]]
        server.close()
    elif kind == "write":
        held.append(open(rest[0], "w"))
    elif kind == "deleted":
        held.append(open(rest[0], "w")); os.unlink(rest[0])
    elif kind == "unix":
        held.append(socket.socket(socket.AF_UNIX)); held[-1].bind(rest[0])
    elif kind == "child":
        held.append(subprocess.Popen([sys.executable, "-c", PROGRAM, json.dumps(rest)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE)); held[-1].stdout.readline()
print("open", flush=True)
sys.stdin.read()
"""
PROGRAM = f"PROGRAM = {PROGRAM!r}\n{PROGRAM}"


class Opened:
    """Start a process with open sockets and files."""

    def __init__(self, *things: object, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(things)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | environment,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"open\n":
            raise AssertionError(self._process.communicate()[1].decode())
        self.pid = self._process.pid

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture
def server() -> Iterator[int]:
    """The port of a server on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        yield port


def look(process: int, *sinks: str, clips: Path | None = None, **sources: str) -> WatchReport:
    devices = {name: SourceConfig(device=device) for name, device in sources.items()}
    folder = None if clips is None else str(clips)
    config = Config(
        sinks=sinks, sources=devices, journal=JournalConfig(path="memory"), clips=ClipsConfig(folder=folder)
    )
    return watch(config, process, 0.01)


def seen(report: WatchReport) -> dict[str, str]:
    return {finding.seen: finding.explained for finding in report.findings}


def test_a_connection_is_explained_by_the_address_and_the_port_that_the_configuration_names(server: int) -> None:
    with Opened(("connect", "127.0.0.1", server)) as opened:
        connection = f"tcp connection to 127.0.0.1:{server}"
        assert seen(look(opened.pid, f"mqtt://127.0.0.1:{server}")) == {connection: "sink mqtt"}
        assert seen(look(opened.pid, f"webhook:http://localhost:{server}/hook")) == {connection: "sink webhook"}
        assert seen(look(opened.pid, gate=f"pcm+tcp://127.0.0.1:{server}")) == {connection: "source gate"}
        assert seen(look(opened.pid, gate="rtsp://127.0.0.1/live")) == {connection: "source gate"}
        for other in (f"mqtt://127.0.0.1:{server + 1}", f"mqtt://192.168.1.5:{server}", "json"):
            assert seen(look(opened.pid, other)) == {connection: ""}


def test_a_server_is_explained_where_it_listens_no_wider_than_configured() -> None:
    port = free_port()
    with Opened(("listen", "0.0.0.0", port)) as everywhere:  # noqa: S104
        assert list(seen(look(everywhere.pid, f"http://0.0.0.0:{port}")).values()) == ["sink http"]
        assert list(seen(look(everywhere.pid, f"http://127.0.0.1:{port}")).values()) == [""]
    with Opened(("listen", "127.0.0.1", port)) as here:
        assert seen(look(here.pid, f"tcp://127.0.0.1:{port}")) == {f"tcp listens at 127.0.0.1:{port}": "sink tcp"}
        assert list(seen(look(here.pid, f"tcp://127.0.0.1:{port + 1}")).values()) == [""]


def test_a_client_of_a_configured_server_is_explained_by_it() -> None:
    port = free_port()
    with Opened(("listen", "127.0.0.1", port)) as opened, socket.create_connection(("127.0.0.1", port)):
        assert set(seen(look(opened.pid, f"http://127.0.0.1:{port}")).values()) == {"sink http"}


def test_a_name_server_is_explained_only_where_the_configuration_has_names() -> None:
    with Opened(("udp", "127.0.0.1", 53)) as opened:
        assert list(seen(look(opened.pid, "mqtt://127.0.0.1")).values()) == [""]
        assert list(seen(look(opened.pid, "mqtt://broker.invalid")).values()) == [
            "name server, for names in the configuration"
        ]


def test_connections_of_a_process_to_itself_and_unix_sockets_are_explained(tmp_path: Path) -> None:
    with Opened(("pair",), ("unix", str(tmp_path / "own.sock"))) as opened:
        assert seen(look(opened.pid, "json")) == {}


def test_files_are_explained_by_the_journal_clips_and_sinks(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    paths = [tmp_path / "events.jsonl", clips / "a.flac", tmp_path / "foreign.db"]
    with Opened(*(("write", str(path)) for path in paths), ("deleted", str(tmp_path / "gone"))) as opened:
        report = look(opened.pid, f"json:{paths[0]}", clips=clips)
    assert seen(report) == {
        f"file {paths[0]}": "sink json",
        f"file {paths[1]}": "clips.folder",
        f"file {paths[2]}": "",
        f"file {tmp_path}/gone (deleted)": "a temporary file without a name",
    }
    assert report_text(report)[-2:] == ["Not explained by the configuration", f"  file {paths[2]}"]


def test_a_linked_folder_explains_its_files(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "public").symlink_to(tmp_path / "private")
    with Opened(("write", str(tmp_path / "public/events.jsonl"))) as opened:
        report = look(opened.pid, f"json:{tmp_path}/public/events.jsonl")
    assert seen(report) == {f"file {tmp_path}/private/events.jsonl": "sink json"}


def test_children_count_as_the_daemon_does(server: int) -> None:
    with Opened(("child", ("connect", "127.0.0.1", server))) as opened:
        report = look(opened.pid, "json")
    assert seen(report) == {f"tcp connection to 127.0.0.1:{server}": ""}
    assert report.processes == 2


def test_reporting_that_the_daemons_user_switched_on_is_found() -> None:
    with Opened(ORT_DISABLE_TELEMETRY="0") as opened:
        [finding] = look(opened.pid, "json").unexplained
    assert finding.seen == "ONNX Runtime may report: ORT_DISABLE_TELEMETRY=0"


def test_addresses_are_read_in_the_kernels_byte_order() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        found = {str(item.local) for item in open_sockets(os.getpid()) if item.listens}
        assert {f"127.0.0.1:{four.getsockname()[1]}", f"[::1]:{six.getsockname()[1]}"} <= found


def test_a_missing_program_or_permission_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"No running program writes to the journal .*--process"):
        find_daemon(Config(journal=JournalConfig(path=str(tmp_path / "journal.db"))))
    with pytest.raises(ServiceError, match="by a journal in memory"):
        find_daemon(Config(journal=JournalConfig(path="memory")))
    with pytest.raises(ServiceError, match="There is no process 4194305"):
        look(4_194_305, "json")


def test_the_command_watches_the_daemon_of_the_journal_and_returns_an_exit_code(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    port = free_port()
    config.write_text(
        f"sources: {{street: {{device: demo}}}}\njournal: {{path: {tmp_path}/journal.db}}\n"
        f"sinks: [json, 'mqtt://{mosquitto.address}', 'http://127.0.0.1:{port}']\n"
    )
    command = [SOUNDWATCH, "run", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
        try:
            assert daemon.stdout is not None
            assert daemon.stdout.readline()
            watched = ("privacy", "audit", "--watch", "0.5", "--json", "--config", config)
            wait_until(lambda: b'"sink mqtt"' in soundwatch(*watched).stdout, "the connection to the broker")
            explained = soundwatch(*watched)
            assert explained.returncode == 0, explained.stdout
            report = json.loads(explained.stdout)
            assert report["process"] == daemon.pid
            assert {"sink mqtt", "sink http", "journal.path"} <= {
                finding["explained"] for finding in report["findings"]
            }
            unexplained = soundwatch(*watched[:4], "--config", config, "-F", "json")
            assert unexplained.returncode == 12
            assert f"tcp connection to {mosquitto.address}".encode() in unexplained.stdout
        finally:
            daemon.send_signal(signal.SIGTERM)
    refused = soundwatch("privacy", "audit", "--watch", "1", "--config", config)
    assert refused.returncode == 11
    assert b"No running program writes to the journal" in refused.stderr

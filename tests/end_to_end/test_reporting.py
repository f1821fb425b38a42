"""No command connects, asks a DNS server or creates a file that the configuration or the documentation does not name.

Each command runs under strace in a network without a route: a library that reports its use asks for an address there,
and the call is seen though it fails. docs/privacy.md names the folders.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.loopback_services import SERVICES
from support.rtsp_server import why_not
from support.syscall_trace import NetworkWithoutRoute, Trace, read_trace, tracing_obstacle
from support.traced_commands import (
    AFTER_RUN,
    COMMANDS,
    DEMO,
    RTSP_PORT,
    RUN,
    TERMINAL,
    WATCH,
    Bench,
    TracedCommand,
)
from support.traced_run import run_everything, run_on_terminal, run_until
from support.virtual_microphone import VirtualMicrophone

pytestmark = [pytest.mark.slow, pytest.mark.external]


@pytest.fixture(scope="module")
def network() -> Iterator[NetworkWithoutRoute]:
    obstacle = tracing_obstacle()
    if obstacle:
        pytest.skip(f"commands cannot be traced in a network of their own: {obstacle}")
    network = NetworkWithoutRoute()
    yield network
    network.close()


@pytest.fixture(scope="module")
def bench(network: NetworkWithoutRoute) -> Iterator[Bench]:
    # pytest's own folder may be too long for the paths of Ray's sockets.
    with tempfile.TemporaryDirectory(prefix="soundwatch-") as folder:
        bench = Bench(Path(folder), network)
        bench.prepare()
        yield bench


def check(bench: Bench, command: TracedCommand, traced: Trace) -> None:
    assert traced.returncode in command.exit_codes, traced.output.decode()
    assert traced.unexplained(bench.permitted(command)) == []


@pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])
def test_a_command_connects_and_writes_only_as_documented(bench: Bench, command: TracedCommand) -> None:
    check(bench, command, bench.trace(command))


def test_the_daemon_with_each_source_and_sink_and_its_collector_connect_only_as_configured(
    bench: Bench, virtual_microphone: VirtualMicrophone
) -> None:
    server = virtual_microphone.env["PULSE_SERVER"].removeprefix("unix:")
    sounding = replace(bench, environment=virtual_microphone.env, sockets=(server,))
    daemon, collector, received = run_everything(sounding)
    check(sounding, RUN, daemon)
    check(sounding, WATCH, collector)
    assert set(received) == SERVICES
    assert {address.rpartition(":")[2] for address in daemon.connections} >= {"1883", "8001", "9002"}
    assert why_not() or f"127.0.0.1:{RTSP_PORT}" in daemon.connections
    for command in AFTER_RUN:
        check(bench, command, bench.trace(command))


def test_the_terminal_view_connects_to_nothing(bench: Bench) -> None:
    traced, terminal = run_on_terminal(bench)
    terminal.close()
    check(bench, TERMINAL, traced)
    assert b"street" in traced.output or b"demo" in traced.output


def test_a_library_that_reports_is_found(network: NetworkWithoutRoute, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bench", network, environment={"ORT_DISABLE_TELEMETRY": "0"})
    bench.prepare()

    def reports(traced: Trace) -> bool:
        written = any("Microsoft" in path.parts for path in traced.foreign_files(bench.permitted(DEMO)))
        return written and bool(traced.queries)

    traced = run_until(bench, DEMO, lambda: reports(read_trace(bench.trace_folder(DEMO.name), bench.folder)))
    assert reports(traced), "ONNX Runtime asked for no address, or wrote no file"
    assert "DNS query" in traced.unexplained(bench.permitted(DEMO))[0]

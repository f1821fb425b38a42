"""The service under a real systemd: installed from the wheel, reloaded, killed, frozen, stopped, removed.

It runs where `SOUNDWATCH_SYSTEMD=1` is set (`make test-systemd`), in a Debian of its own; with `-s` or `-rP` its output
has every command and answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.systemd_container import SystemdContainer, cached_root, container_obstacle, install_wheel

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "/opt/soundwatch/bin/soundwatch"
UNIT = "soundwatch.service"
CONFIG = "/etc/soundwatch/config.yaml"
EVENTS = "/var/lib/soundwatch/events.jsonl"
JOURNAL = "/var/lib/soundwatch/journal.db"
GOOD = (  # the journal of a demo is in memory by default
    f"node: edge\nsources: {{street: {{device: demo}}}}\njournal: {{path: {JOURNAL}}}\nsinks: ['json:events.jsonl']\n"
)
WEBHOOK = "http://192.0.2.1:8000/hook"
FREEZE = """
import pathlib, time
from soundwatch.daemon.inference import classifier

real = classifier.LoadedModel.classify

def classify(self, mel_db):
    while pathlib.Path("/var/lib/soundwatch/freeze").exists():
        time.sleep(1)
    return real(self, mel_db)

classifier.LoadedModel.classify = classify
"""
RECEIVER = """
import http.server

class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        open("/root/received", "a").write("1")
        self.send_response(204)
        self.end_headers()

http.server.HTTPServer(("192.0.2.1", 8000), Receiver).serve_forever()
"""

pytestmark = [pytest.mark.slow, pytest.mark.external, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdContainer]:
    """A booted Debian with the wheel installed."""
    obstacle = container_obstacle()
    if obstacle:
        pytest.skip(f"no systemd is booted: {obstacle}")
    shared = tmp_path_factory.mktemp("shared")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(shared), "-t", "wheel"]
    checkout = tmp_path_factory.mktemp("checkout") / "soundwatch"
    ignored = shutil.ignore_patterns(".venv", ".git", ".*_cache", "site", "dist")
    shutil.copytree(ROOT, checkout, ignore=ignored, symlinks=True)
    subprocess.run(command, cwd=checkout, env=os.environ, check=True, capture_output=True)
    (wheel,) = shared.glob("*.whl")
    container = SystemdContainer(cached_root(), shared)
    try:
        install_wheel(container, wheel.name)
        yield container
    finally:
        container.close()


@pytest.fixture
def service(container: SystemdContainer) -> Iterator[SystemdContainer]:
    """The service, installed and listening with a good configuration."""
    container.write(CONFIG, GOOD)
    container.run(PROGRAM, "service", "install")
    yield container
    container.try_running("rm", "--recursive", "--force", f"/etc/systemd/system/{UNIT}.d")
    container.try_running("rm", "--force", "/var/lib/soundwatch/freeze")


def events(container: SystemdContainer, kind: str) -> list[dict[str, object]]:
    """Lines of one type that the service wrote."""
    lines = container.run("cat", EVENTS).splitlines()
    return [line for line in map(json.loads, lines) if line["type"] == kind]


def health_states(container: SystemdContainer) -> list[object]:
    return [line["state"] for line in events(container, "health")]


def log(container: SystemdContainer) -> str:
    return container.run("journalctl", "--unit", UNIT, "--boot", "--no-pager", "--output", "cat")


def is_active(container: SystemdContainer) -> bool:
    return container.property(UNIT, "ActiveState") == "active"


def test_the_service_is_ready_after_the_first_window_and_has_its_own_user(service: SystemdContainer) -> None:
    assert is_active(service)
    assert service.property(UNIT, "StatusText").startswith("1 of 1 sources ")
    process = service.property(UNIT, "MainPID")
    user = int(service.run("stat", "--format=%u", f"/proc/{process}"))
    assert 61_184 <= user <= 65_519, "systemd's range for dynamic users"
    assert service.run("stat", "--format=%a", "/var/lib/private/soundwatch") == "750"
    assert events(service, "hello")


def test_reload_takes_a_good_configuration_and_refuses_a_bad_one_without_procps(service: SystemdContainer) -> None:
    assert service.try_running("test", "-e", "/bin/kill").returncode == 1
    process = service.property(UNIT, "MainPID")
    service.write(CONFIG, GOOD + "detection: {threshold: 0.9}\n")
    service.run("systemctl", "reload", UNIT)
    service.wait_for(lambda: "reloaded" in health_states(service), "the good configuration")
    service.write(CONFIG, GOOD + "sorces: {}\n")
    service.run("systemctl", "reload", UNIT)
    service.wait_for(lambda: "refused" in health_states(service), "the bad configuration to be refused")
    assert "did you mean `sources`?" in log(service)
    assert service.property(UNIT, "MainPID") == process
    assert is_active(service)


def test_a_killed_program_is_started_again(service: SystemdContainer) -> None:
    process = service.property(UNIT, "MainPID")
    restarts = int(service.property(UNIT, "NRestarts"))
    service.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", UNIT)
    service.wait_for(
        lambda: int(service.property(UNIT, "NRestarts")) > restarts and is_active(service), "another program"
    )
    assert service.property(UNIT, "MainPID") not in ("0", process)


def test_a_program_with_a_frozen_stage_is_named_killed_and_started_again(service: SystemdContainer) -> None:
    service.write("/opt/freeze/sitecustomize.py", FREEZE)
    service.write(
        f"/etc/systemd/system/{UNIT}.d/50-test.conf",
        "[Service]\nEnvironment=PYTHONPATH=/opt/freeze\nWatchdogSec=10s\n",
    )
    service.run("systemctl", "daemon-reload")
    service.run("systemctl", "restart", UNIT)
    restarts = int(service.property(UNIT, "NRestarts"))
    service.run("touch", "/var/lib/soundwatch/freeze")
    service.wait_for(lambda: "Watchdog timeout" in log(service), "the watchdog")
    assert "stage_stalled" in log(service)
    service.run("rm", "/var/lib/soundwatch/freeze")
    service.wait_for(
        lambda: int(service.property(UNIT, "NRestarts")) > restarts and is_active(service), "another program"
    )


def test_log_entries_have_levels_and_fields_and_none_is_of_a_library_that_reports(service: SystemdContainer) -> None:
    printed = service.run("journalctl", "--unit", UNIT, "--boot", "--no-pager", "--output", "json")
    entries = [json.loads(line) for line in printed.splitlines()]
    ours = [entry for entry in entries if any(name.startswith("SOUNDWATCH_") for name in entry)]
    assert ours
    assert {entry["PRIORITY"] for entry in ours} <= {"3", "4", "5", "6"}
    assert all(entry["SYSLOG_IDENTIFIER"] for entry in ours)
    assert not [entry["MESSAGE"] for entry in entries if "telemetry" in str(entry["MESSAGE"]).lower()]


def test_it_has_nothing_open_and_leaves_no_file_that_the_documentation_does_not_name(service: SystemdContainer) -> None:
    watched = service.try_running(PROGRAM, "privacy", "audit", "--watch", "3", "--config", CONFIG)
    assert watched.returncode == 0, watched.stdout
    group = service.property(UNIT, "ControlGroup")
    processes = service.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()
    sockets = service.run("ss", "--no-header", "--tcp", "--udp", "--all", "--processes").splitlines()
    assert not [line for line in sockets for process in processes if f"pid={process}," in line]
    user = service.run("stat", "--format=%u", f"/proc/{processes[0]}")
    owned = service.run("find", "/", "-xdev", "-uid", user).splitlines()
    assert owned
    places = tuple(f"/var/{kind}/private/soundwatch" for kind in ("lib", "cache", "log"))
    assert [path for path in owned if not path.startswith(places)] == []
    assert service.run("find", "/", "-xdev", "-name", "*.onnxruntime*", "-not", "-path", "/opt/*") == ""


def test_the_filter_drops_packets_to_an_address_until_the_configuration_names_it(service: SystemdContainer) -> None:
    service.run("ip", "address", "replace", "192.0.2.1/32", "dev", "lo")
    service.write("/root/receiver.py", RECEIVER)
    service.try_running("systemctl", "stop", "receiver")
    service.run("systemd-run", "--unit=receiver", "--collect", "python3", "/root/receiver.py")
    named = GOOD.replace("sinks: [", f"sinks: ['webhook:{WEBHOOK},types=hello', ")
    service.write(CONFIG, named)
    service.run("systemctl", "restart", UNIT)
    service.wait_for(lambda: "timed out" in log(service) or received(service), "an answer, or none")
    if received(service):
        pytest.skip("this kernel does not filter addresses for control groups")
    service.run(PROGRAM, "service", "install")
    assert "IPAddressAllow=192.0.2.1" in service.run("cat", f"/etc/systemd/system/{UNIT}.d/10-network.conf")
    service.wait_for(lambda: received(service), "the webhook")


def received(container: SystemdContainer) -> bool:
    return container.try_running("test", "-e", "/root/received").returncode == 0


def test_it_stops_with_success_and_is_removed_without_a_trace_but_its_events(service: SystemdContainer) -> None:
    service.run("systemctl", "stop", UNIT)
    assert service.property(UNIT, "Result") == "success"
    assert service.property(UNIT, "ExecMainStatus") == "0"
    assert service.property(UNIT, "ActiveState") == "inactive"
    service.run("systemctl", "start", UNIT)
    service.run(PROGRAM, "service", "uninstall")
    assert service.property(UNIT, "LoadState") == "not-found"
    left = service.run("find", "/etc", "-name", "*soundwatch*").splitlines()
    assert sorted(left) == ["/etc/soundwatch"], "the changed configuration stays"
    assert events(service, "stats")[-1]["final"] is True

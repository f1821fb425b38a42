"""What a service manager is told, and what is left alone where there is none."""

from __future__ import annotations

import os
import socket

import pytest

from soundwatch.daemon.system.sd_notify import SystemdNotifier
from support.fake_systemd import manager

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")


def test_everything_is_told_in_systemds_words() -> None:
    with manager() as listening:
        notifier = SystemdNotifier(listening.env["NOTIFY_SOCKET"])
        notifier.ready()
        notifier.status("1 of 1\nsources  heard")
        notifier.alive()
        notifier.reloading()
        notifier.stopping()
        while listening.listen(0.2):
            pass
        said = [text for _, text in listening.heard]
    assert said[:3] == ["READY=1", "STATUS=1 of 1 sources heard", "WATCHDOG=1"]
    assert said[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert said[4:] == ["STOPPING=1"]


def test_the_managers_variables_are_taken_out_of_the_environment_and_others_left() -> None:
    environment = {
        "NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/",
    }  # fmt: skip
    notifier = SystemdNotifier.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.heard
    assert notifier.watchdog_ns == 30_000_000_000


@pytest.mark.parametrize(
    "environment",
    [
        {"NOTIFY_SOCKET": "/nowhere"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "1000000"},
    ],
    ids=["not asked", "no number", "of another process", "nobody listens"],
)
def test_the_watchdog_is_fed_only_where_this_process_was_asked_to(environment: dict[str, str]) -> None:
    assert SystemdNotifier.from_environment(environment).watchdog_ns == 0


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "vsock:2:1234", "@soundwatch-nobody-listens-here"])
def test_a_manager_that_cannot_be_reached_stops_nothing(address: str) -> None:
    notifier = SystemdNotifier(address)
    notifier.ready()
    notifier.stopping()


def test_a_manager_that_does_not_read_holds_nothing_up() -> None:
    with manager() as listening:
        notifier = SystemdNotifier(listening.env["NOTIFY_SOCKET"])
        for _ in range(10_000):
            notifier.alive()


def test_an_abstract_address_is_one() -> None:
    if not os.path.exists("/proc/net/unix"):  # noqa: PTH110
        pytest.skip("abstract addresses are Linux's")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0soundwatch-test-{os.getpid()}")
        listening.settimeout(5)
        SystemdNotifier(f"@soundwatch-test-{os.getpid()}").ready()
        assert listening.recv(100) == b"READY=1"

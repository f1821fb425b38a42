"""Notifications to a service manager."""

from __future__ import annotations

import os
import socket

import pytest

from soundwatch.daemon.system.sd_notify import SystemdNotifier
from support.fake_systemd import manager

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")


def test_notifications_follow_systemds_protocol() -> None:
    with manager() as systemd:
        notifier = SystemdNotifier(systemd.env["NOTIFY_SOCKET"])
        notifier.ready()
        notifier.status("1 of 1\nsources  running")
        notifier.ping_watchdog()
        notifier.reloading()
        notifier.stopping()
        while systemd.receive(0.2):
            pass
        received = [text for _, text in systemd.received]
    assert received[:3] == ["READY=1", "STATUS=1 of 1 sources running", "WATCHDOG=1"]
    assert received[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert received[4:] == ["STOPPING=1"]


def test_only_the_managers_variables_are_removed_from_the_environment() -> None:
    environment = {
        "NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/",
    }  # fmt: skip
    notifier = SystemdNotifier.from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.connected
    assert notifier.watchdog_ns == 30_000_000_000


@pytest.mark.parametrize(
    "environment",
    [
        {"NOTIFY_SOCKET": "/nowhere"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "soon"},
        {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "1000000"},
    ],
    ids=["no watchdog", "no number", "of another process", "no socket"],
)
def test_the_watchdog_is_off_unless_the_manager_expects_pings_of_this_process(environment: dict[str, str]) -> None:
    assert SystemdNotifier.from_environment(environment).watchdog_ns == 0


@pytest.mark.parametrize("address", ["", "/no/such/socket", "vsock:2:1234", "@soundwatch-no-such-socket"])
def test_an_unreachable_manager_raises_no_error(address: str) -> None:
    notifier = SystemdNotifier(address)
    notifier.ready()
    notifier.stopping()


def test_a_manager_that_does_not_read_causes_no_wait() -> None:
    with manager() as systemd:
        notifier = SystemdNotifier(systemd.env["NOTIFY_SOCKET"])
        for _ in range(10_000):
            notifier.ping_watchdog()


def test_an_abstract_address_is_supported() -> None:
    if not os.path.exists("/proc/net/unix"):  # noqa: PTH110
        pytest.skip("abstract addresses are Linux's")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(f"\0soundwatch-test-{os.getpid()}")
        server.settimeout(5)
        SystemdNotifier(f"@soundwatch-test-{os.getpid()}").ready()
        assert server.recv(100) == b"READY=1"

"""The addresses that the service may reach follow from the configuration, without a lookup."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import Config, ModelConfig
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.diagnostics.network.network_filter import (
    ANY,
    PRIVATE_NETWORKS,
    allowed_destinations,
    drop_in_text,
    nameservers,
)
from soundwatch.daemon.system.service_steps import run_steps
from soundwatch.daemon.system.systemd_unit import ServicePaths, install_steps, uninstall_steps


def allowed(*sinks: str, backend: str = "auto", **sources: str) -> list[tuple[str, tuple[str, ...]]]:
    devices = {name: SourceConfig(device=device) for name, device in sources.items()}
    config = Config(sinks=sinks, sources=devices, model=ModelConfig(backend=backend))
    return [(destination.key, destination.addresses) for destination in allowed_destinations(config)]


@pytest.mark.parametrize(
    "sink",
    [
        "json",
        "json:/var/log/events.jsonl",
        "terminal",
        "unix:/run/soundwatch.sock",
        "command:/usr/bin/mail",
        "http://127.0.0.1:8433",
        "tcp://[::1]:9000",
        "mqtt://localhost",
    ],
)
def test_local_sinks_need_no_allowed_address(sink: str) -> None:
    assert allowed(sink) == []


@pytest.mark.parametrize(
    ("sink", "addresses"),
    [
        ("mqtt://192.168.1.5:1883,retain=1", ("192.168.1.5",)),
        ("mqtts://[2001:db8::5]", ("2001:db8::5",)),
        ("webhook:http://8.8.8.8/hook", ("8.8.8.8",)),
        ("mqtt://broker.lan", PRIVATE_NETWORKS),
        ("mqtt://homeassistant", PRIVATE_NETWORKS),
        ("webhook:https://hooks.example.org/secret", ANY),
        ("http://0.0.0.0:8433", PRIVATE_NETWORKS),
        ("http://192.168.1.4:8433", PRIVATE_NETWORKS),
        ("tcp://[::]:9000", PRIVATE_NETWORKS),
        ("http://8.8.4.4:8433", ANY),
    ],
)
def test_a_sink_needs_its_address_its_local_network_or_any(sink: str, addresses: tuple[str, ...]) -> None:
    assert [found for _, found in allowed(sink)] == [addresses]


def test_sources_and_servers_need_their_addresses_too() -> None:
    assert allowed(
        backend="triton://10.0.0.9:8000",
        gate="rtsp://user:secret@192.168.1.9/stream",
        radio="https://radio.example.org/live",
        field="pcm+udp://0.0.0.0:9003",
        mic0="default",
    ) == [
        ("source gate", ("192.168.1.9",)),
        ("source radio", ANY),
        ("source field", PRIVATE_NETWORKS),
        ("model.backend", ("10.0.0.9",)),
    ]


def test_the_drop_in_has_reasons_and_no_secret() -> None:
    sources = {"gate": SourceConfig(device="rtsp://user:secret@192.168.1.9/stream")}
    config = Config(sinks=("webhook:https://hooks.example.org/token",), sources=sources)
    text = drop_in_text(allowed_destinations(config), ("192.0.2.53",))
    assert "[Service]\n" in text
    assert "IPAddressAllow=any\n" in text
    assert "EVERY ADDRESS IS ALLOWED" in text
    assert "IPAddressAllow=192.168.1.9\n" in text
    assert "IPAddressAllow=192.0.2.53\n" in text
    assert "secret" not in text
    assert "/token" not in text


def test_without_names_no_name_server_is_allowed_and_without_destinations_there_is_no_drop_in() -> None:
    assert "192.0.2.53" not in drop_in_text(allowed_destinations(Config(sinks=("mqtt://10.1.2.3",))), ("192.0.2.53",))
    assert drop_in_text(allowed_destinations(Config(sinks=("json",))), ("192.0.2.53",)) == ""


def test_name_servers_on_loopback_are_allowed_already(tmp_path: Path) -> None:
    resolver = tmp_path / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.53\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\noptions edns0\n")
    assert nameservers(resolver) == ("192.0.2.53", "fe80::1")
    assert nameservers(tmp_path / "none") == ()


def accept(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(command, 0, "", "")


def test_the_drop_in_follows_the_configuration_and_the_service(tmp_path: Path) -> None:
    place = ServicePaths(False, tmp_path / "systemd/system/soundwatch.service", tmp_path / "soundwatch/config.yaml")
    run_steps(install_steps(place, "[Service]\n", accept, "[Service]\nIPAddressAllow=any\n"), lambda _: None)
    assert place.network.read_text() == "[Service]\nIPAddressAllow=any\n"
    run_steps(install_steps(place, "[Service]\n", accept), lambda _: None)
    assert not place.network.parent.exists()
    run_steps(install_steps(place, "[Service]\n", accept, "[Service]\nIPAddressAllow=any\n"), lambda _: None)
    run_steps(uninstall_steps(place, accept), lambda _: None)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_reads_the_drop_in(tmp_path: Path) -> None:
    unit = tmp_path / "soundwatch.service"
    unit.write_text("[Service]\nExecStart=/bin/true\nIPAddressDeny=any\n")
    folder = tmp_path / "soundwatch.service.d"
    folder.mkdir()
    sinks = ("mqtt://broker.lan", "webhook:https://hooks.example.org/x", "mqtts://[2001:db8::5]")
    (folder / "10-network.conf").write_text(drop_in_text(allowed_destinations(Config(sinks=sinks)), ("192.0.2.53",)))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

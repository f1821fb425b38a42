"""The list of a sound server's sources, and of all inputs, also where one of them fails."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from soundwatch.daemon.capture.microphones import capture_worker, inputs
from soundwatch.daemon.capture.microphones.inputs import Inputs, find_input, inputs_text
from soundwatch.daemon.capture.microphones.ipc import ErrorFrame
from soundwatch.daemon.capture.portaudio import microphone
from soundwatch.daemon.capture.portaudio.devices import Device
from soundwatch.daemon.capture.sound_server import connection as sound_server_connection
from soundwatch.daemon.capture.sound_server import devices as sound_server_devices
from soundwatch.daemon.capture.sound_server.devices import list_server_devices
from soundwatch.daemon.capture.sound_server.protocol import NO_INDEX, Command, SampleSpecification, encode_message
from soundwatch.daemon.capture.sound_server.source import open_server_source
from soundwatch.daemon.cli.devices import devices
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.diagnostics.doctor import audio_checks
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput
from support.fake_sound_server import FakeServer, reply

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no Unix sockets")

CARD = Device(0, "USB (hw:1,0)", "ALSA", 2, 48_000, True, "USB")
DESK = Device(None, "Desk", "sound server", 1, 16_000, True, "pulse:desk")
PLAYED = Device(None, "Monitor of \x1bOut", "sound server", 2, 44_100, False, "pulse:out.monitor", monitor=True)


def source(index: int, name: str, description: str | None, rate_hz: int, output: int) -> tuple[object, ...]:
    """Return the fields of a mono source."""
    form = SampleSpecification(3, 1, rate_hz)
    return (index, name, description, form, (0,), 1, (7,), False, output, None, 0, "driver", 0, {}, 0)


OUT = source(0, "out.monitor", "Monitor of Out", 44_100, 0)
YARD = source(1, "yard", None, 16_000, NO_INDEX)


@pytest.fixture
def sound_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeServer]:
    """Provide a server that this process uses."""
    monkeypatch.chdir(tmp_path)  # the path of a socket has to be short
    monkeypatch.setenv("PULSE_SERVER", "unix:native")
    started = FakeServer(Path("native"))
    yield started
    started.close(Path("native"))


def without_portaudio(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Mapping[str, str]) -> tuple[Device, ...]:
        raise SourceError("PortAudio does not load.")

    monkeypatch.setattr(inputs, "list_devices_apart", fail)


def test_sources_are_listed_with_monitors_last_and_the_default_marked(sound_server: FakeServer) -> None:
    sound_server.answers[Command.GET_SOURCES] = reply(*OUT, *YARD)
    sound_server.answers[Command.GET_SOURCE] = reply(*YARD)
    assert list_server_devices() == (
        Device(None, "yard", "sound server", 1, 16_000, True, "pulse:yard"),
        Device(None, "Monitor of Out", "sound server", 1, 44_100, False, "pulse:out.monitor", monitor=True),
    )


@pytest.mark.parametrize("listed", [(), OUT])
def test_a_server_without_a_default_source_has_none_marked(
    sound_server: FakeServer, listed: tuple[object, ...]
) -> None:
    sound_server.answers[Command.GET_SOURCES] = reply(*listed)
    sound_server.answers[Command.GET_SOURCE] = lambda number: encode_message(Command.ERROR, number, 5)
    assert [device.default for device in list_server_devices()] == [False] * bool(listed)


@pytest.mark.parametrize(
    ("command", "answer", "message"),
    [
        (Command.AUTHENTICATE, struct.pack(">5I", 0, NO_INDEX, 0, 0, 0), "sent a message without a command"),
        (Command.AUTHENTICATE, b"", "does not answer within 0.2 s"),
        (Command.GET_SOURCES, b"", "does not answer within 0.2 s"),
        (Command.GET_SOURCES, None, "ended the connection"),
    ],
)
def test_a_server_that_refuses_or_hangs_is_a_line_and_the_command_succeeds(
    sound_server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    command: Command,
    answer: bytes | None,
    message: str,
) -> None:
    servers: list[str | None] = []  # that ALSA asks for devices

    def list_card(environment: Mapping[str, str]) -> tuple[Device, ...]:
        servers.append(environment.get("PULSE_SERVER"))
        return (CARD,)

    monkeypatch.setattr(inputs, "list_devices_apart", list_card)
    for module in (sound_server_devices, sound_server_connection):
        monkeypatch.setattr(module, "REPLY_S", 0.2 if answer == b"" else 60.0)
    del sound_server.answers[command]
    if answer is not None:
        sound_server.answers[command] = lambda _: answer
    done = CliRunner().invoke(devices, ["--json"])
    assert done.exit_code == 0
    assert [device["device"] for device in json.loads(done.stdout)] == ["USB"]
    assert message in done.stderr
    assert servers == ["unix:/nonexistent" if answer == b"" else None]  # PortAudio waits for one that hangs


def test_a_name_that_portaudio_does_not_know_is_answered_with_the_sources_of_the_server_too(
    sound_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound_server.answers[Command.GET_SOURCES] = reply(*source(1, "yard mic", "Yard", 16_000, NO_INDEX))
    for present, message in (((CARD,), "No input device matches"), ((), "No microphone")):
        monkeypatch.setattr(microphone, "list_devices", lambda present=present: present)
        answer = capture_worker._open(-1, "Yard", None, wait=False)
        assert isinstance(answer, ErrorFrame)
        assert message in answer.message
        assert answer.message.endswith('The sound server has these:\n  --device "pulse:yard mic"  Yard')
    del sound_server.answers[Command.GET_SOURCES]
    answer = capture_worker._open(-1, "Yard", None, wait=False)
    assert isinstance(answer, ErrorFrame)
    assert "sound server has" not in answer.message


def test_a_server_at_which_as_many_programs_wait_as_may_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULSE_SERVER", "unix:native")
    with socket.socket(socket.AF_UNIX) as server, contextlib.ExitStack() as clients:
        server.bind("native")
        server.listen(0)
        waiting = [clients.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
        assert errno.EAGAIN in [client.connect_ex("native") for client in waiting]
        with pytest.raises(StallError, match=r"does not answer the programs that wait for it .* It hangs: restart it"):
            list_server_devices()
        with pytest.raises(SourceError, match=r"pulse was expected, .* It hangs: restart it"):
            open_server_source("mic0", "pulse", None)


def test_no_server_is_no_line_unless_one_is_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if Path("/run/pulse/native").exists():
        pytest.skip("this system has a sound server")
    for name in ("PULSE_SERVER", "PULSE_RUNTIME_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("PULSE_CLIENTCONFIG", str(tmp_path / "client.conf"))
    assert list_server_devices() == ()
    monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path}/none")
    with pytest.raises(SourceError, match=r"The sound server does not answer: .*/none\)\. Check that"):
        list_server_devices()


def test_without_portaudio_the_servers_sources_are_listed_and_without_both_the_command_fails(
    sound_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_portaudio(monkeypatch)
    sound_server.answers[Command.GET_SOURCES] = reply(*YARD)
    done = CliRunner().invoke(devices)
    assert done.exit_code == 0
    assert "  pulse:yard                  1         16000    yard\n" in done.stdout
    assert "*" not in done.stdout
    assert done.stderr == "PortAudio does not load.\n"
    sound_server.answers[Command.GET_SOURCES] = reply()
    done = CliRunner().invoke(devices)
    assert str(done.exception) == "PortAudio does not load."
    monkeypatch.setattr(inputs, "list_devices_apart", lambda _: ())
    monkeypatch.setenv("PULSE_SERVER", "unix:none")
    done = CliRunner().invoke(devices)
    assert str(done.exception).startswith("The sound server does not answer: No such file")


def test_a_monitor_is_marked_and_is_no_microphone() -> None:
    text = inputs_text(Inputs(server=(PLAYED,)))
    assert text.startswith("No microphone: PortAudio lists no input device.")
    assert r"Monitor of \x1bOut (monitor: what this machine plays)" in text
    text = inputs_text(Inputs(server=(DESK, PLAYED)))
    assert "No microphone" not in text
    assert "*  pulse:desk " in text
    assert text.index("pulse:desk") < text.index("pulse:out.monitor")


def test_a_name_finds_the_input_of_its_sound_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULSE_SOURCE", raising=False)
    listed = Inputs((CARD,), (DESK, PLAYED))
    named: dict[str | int, Device] = {"pulse": DESK, "pulse:out.monitor": PLAYED, "default": CARD, "usb": CARD, 0: CARD}
    assert {name: find_input(listed, name) for name in named} == named
    with pytest.raises(SourceError, match=r"has no source 'Desk'\. It has these:\n  pulse:desk\n  pulse:out.monitor"):
        find_input(listed, "pulse:Desk")
    with pytest.raises(SourceError, match="pulse:desk was expected, and no sound server lists a source"):
        find_input(Inputs((CARD,)), "pulse:desk")
    with pytest.raises(SourceError, match="The sound server hangs"):
        find_input(Inputs((CARD,), server_error="The sound server hangs."), "pulse")
    monkeypatch.setenv("PULSE_SOURCE", "gone")
    with pytest.raises(SourceError, match=r"has no source 'gone'\. It has these"):
        find_input(Inputs(server=(PLAYED,)), "pulse")


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        (Inputs((), (DESK,), "no PortAudio"), ["note", "ok", "ok: source mic0 is pulse:desk, Desk, 16000 Hz"]),
        (Inputs((CARD,), (PLAYED,)), ["ok", "ok", "fault: source mic0: The sound server has no source 'desk'."]),
        (Inputs((CARD,), (), "", "hangs"), ["ok", "warning", "fault: source mic0: hangs"]),
        (Inputs((CARD,)), ["ok", "fault: source mic0: pulse:desk was expected, and no sound server lists"]),
    ],
)
def test_doctor_finds_a_source_of_the_server_and_names_a_missing_one(
    monkeypatch: pytest.MonkeyPatch, listed: Inputs, found: list[str]
) -> None:
    monkeypatch.setattr(audio_checks, "list_inputs", lambda: listed)
    monkeypatch.setattr(audio_checks, "_permissions", lambda: iter(()))
    config = Config(sources={"mic0": SourceConfig(device="pulse:desk")})
    case = CheckInput(config, None, None, False, lambda *_: pytest.fail("no view is needed"))
    findings = [f"{finding.state}: {finding.seen}" for finding in audio_checks.check_microphones(case)]
    assert len(findings) == len(found)
    for seen, expected in zip(findings, found, strict=True):
        assert seen.startswith(expected)

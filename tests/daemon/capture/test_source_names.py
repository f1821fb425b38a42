"""Names of devices of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.capture import path_kinds, source_kinds
from soundwatch.daemon.capture.microphones.inputs import Inputs
from soundwatch.daemon.capture.portaudio.devices import Device
from soundwatch.daemon.capture.source_names import locate_sources, name_devices
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        (["demo", "-", "USB PnP", "2"], ["demo", "stdin", "USB PnP", "2"]),
        (["rtsp://me:secret@nvr/ch1"], ["nvr"]),
        (["rtsp://nvr/ch1", "rtsp://nvr/ch2"], ["nvr-ch1", "nvr-ch2"]),
        (["rtsp://nvr:554/live", "rtsp://nvr:555/live", "http://radio/a"], ["nvr:554", "nvr:555", "radio"]),
        (["rtsp://nvr/a?channel=1", "rtsp://nvr/a?channel=2"], ["nvr-a-channel", "nvr-a-channel-2"]),
        (["pcm+udp://127.0.0.1:5004", "pcm+tcp://127.0.0.1:5004"], ["127.0.0.1:5004", "127.0.0.1:5004-2"]),
        (["rtsp://[::1]:554/a", "rtsp://[::1]:554/b"], ["::1:554-a", "::1:554-b"]),
        (["rtsp://u:p@nvr/x", "rtsp://v:q@nvr/x"], ["nvr-x", "nvr-x-2"]),
    ],
)
def test_two_devices_never_share_a_name(devices: list[str], names: list[str]) -> None:
    assert [*name_devices(devices, {})] == names


def test_recordings_of_one_stem_are_named_by_their_folders(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "street.wav" for folder in ("a", "b")]
    paths.append(tmp_path / "a" / "street.flac")
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    named = name_devices([str(path) for path in paths], {})
    assert [source.device for source in named.values()] == [str(path) for path in paths]
    assert [*named][1] == "b-street"
    assert len(named) == 3


def test_one_recording_by_two_paths_is_two_sources_of_two_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("street.wav").touch()
    assert len(name_devices(["street.wav", "./street.wav"], {})) == 2


def test_a_device_does_not_take_the_name_of_a_configured_source() -> None:
    configured = {"nvr": SourceConfig(device="rtsp://nvr/ch1"), "yard": SourceConfig(device="USB")}
    named = name_devices(["nvr", "rtsp://nvr/ch2"], configured)
    assert {name: source.device for name, source in named.items()} == {
        "nvr": "rtsp://nvr/ch1",
        "nvr-ch2": "rtsp://nvr/ch2",
    }


@pytest.mark.parametrize("device", ["demo", "rtsp://me:secret@nvr/ch1", "nvr"])
def test_a_device_that_is_given_twice_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=r"is given 2 times; give each device once\.") as refused:
        name_devices([device, device], {"nvr": SourceConfig()})
    assert "secret" not in str(refused.value)


def test_a_part_of_a_password_is_never_a_name() -> None:
    with pytest.raises(ConfigError, match="percent-encode"):
        name_devices(["rtsp://cam:p@ss/w:rd#1@host"], {})


@pytest.fixture
def one_microphone(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Device(0, "USB PnP Sound Device", "ALSA", 1, 48_000, default=True)
    monkeypatch.setattr(path_kinds, "list_inputs", lambda: Inputs((device,)))


@pytest.mark.usefixtures("one_microphone")
@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ("default", "microphone"),
        ("USB PnP", "microphone"),
        ("0", "microphone"),
        ("./USB PnP", "folder"),
        ("nights", "folder"),
    ],
)
def test_a_folder_named_like_a_microphone_needs_its_path(
    device: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / device).mkdir()
    assert source_kinds.source_kind(device).name == kind


def test_the_microphones_are_listed_once_for_the_bare_name_of_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listings: list[Inputs] = []

    def list_inputs() -> Inputs:
        listings.append(Inputs())
        return listings[-1]

    monkeypatch.setattr(path_kinds, "list_inputs", list_inputs)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nights").mkdir()
    (tmp_path / "yard").touch()
    configured = {"gate": SourceConfig(device="yard"), "desk": SourceConfig(device=0), "shed": SourceConfig(device="")}
    found = locate_sources(name_devices(["nights", *configured], configured))
    assert {name: source.device for name, source in found.items()} == {
        "nights": "./nights",
        "gate": "./yard",
        "desk": 0,
        "shed": "",
    }
    kinds = [source_kinds.source_kind(found[name].device).name for name in ("nights", "gate", "desk")]
    assert kinds == ["folder", "recording", "microphone"]
    assert len(listings) == 2, "one for each bare name"

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.capture.portaudio.device_list import list_devices_apart
from soundwatch.daemon.capture.portaudio.devices import Device, devices_json, devices_text, find_device, stable_name
from soundwatch.daemon.capture.portaudio.library import load_portaudio
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError


def device(index: int, name: str, host_api: str = "ALSA", *, default: bool = False, proposed: str = "") -> Device:
    return Device(index, name, host_api, 2, 48_000, default, proposed or name)


DESK = [
    device(0, "HDA Intel PCH: ALC257 Analog (hw:0,0)"),
    device(2, "USB PnP Sound Device: Audio (hw:1,0)"),
    device(5, "default", default=True),
]
TWO_APIS = [
    device(1, "Microphone (USB PnP)", "MME", default=True, proposed="Microphone (USB PnP), MME"),
    device(9, "Microphone (USB PnP)", "Windows WASAPI", proposed="Microphone (USB PnP), Windows WASAPI"),
]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ("USB PnP Sound Device: Audio (hw:1,0)", 2),
        ("usb pnp", 2),
        ("Analog (hw:0,0), alsa", 0),
        ("default", 5),
        ("2", 2),
        (0, 0),
    ],
)
def test_a_device_is_found_by_name_by_part_of_it_or_by_index(wanted: str | int, index: int) -> None:
    assert find_device(DESK, wanted).index == index


def test_default_is_the_default_device_with_any_name() -> None:
    assert find_device(TWO_APIS, "default").index == 1


def test_a_whole_name_wins_over_names_that_contain_it() -> None:
    assert find_device([device(0, "Mic 2"), device(1, "Mic")], "Mic").index == 1


def test_one_microphone_under_two_host_apis_has_two_names() -> None:
    assert find_device(TWO_APIS, "Microphone (USB PnP), Windows WASAPI").index == 9


def test_several_matches_are_an_error_that_lists_just_them() -> None:
    with pytest.raises(SourceError, match="2 input devices match 'USB PnP'; exactly one was expected") as caught:
        find_device([*DESK[:1], *TWO_APIS], "USB PnP")
    assert '--device "Microphone (USB PnP), MME"' in str(caught.value)
    assert '--device "Microphone (USB PnP), Windows WASAPI"' in str(caught.value)
    assert "HDA Intel" not in str(caught.value)


@pytest.mark.parametrize("wanted", ["Blue Yeti", "7", 7])
def test_no_match_is_an_error_that_lists_all(wanted: str | int) -> None:
    with pytest.raises(SourceError, match=f"No input device matches {wanted!r}") as caught:
        find_device(DESK, wanted)
    assert str(caught.value).count("--device") == 3


def test_without_any_input_the_message_has_a_remedy() -> None:
    with pytest.raises(SourceError, match="No microphone: PortAudio lists no input device"):
        find_device([], "default")
    assert devices_text([]).startswith("No microphone")
    assert devices_json([]) == b"[]"


def test_the_proposed_name_omits_a_cards_changing_index() -> None:
    assert stable_name(DESK, DESK[1]) == "USB PnP Sound Device: Audio"


def test_the_proposed_name_keeps_a_cards_port_for_two_equal_cards() -> None:
    twins = [device(0, "USB Audio (hw:1,0)"), device(1, "USB Audio (hw:2,0)")]
    assert [stable_name(twins, twin) for twin in twins] == ["USB Audio (hw:1,0)", "USB Audio (hw:2,0)"]


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.sampled_from(["Mic", "Mic 2", "USB (hw:1,0)", "default", "3", ""]), st.sampled_from("AB")))
)
def test_every_proposed_name_finds_its_device(names: list[tuple[str, str]]) -> None:
    devices = [device(index, name, api, default=index == 1) for index, (name, api) in enumerate(names)]
    for one in devices:
        assert find_device(devices, stable_name(devices, one)) == one


def test_the_table_has_a_name_for_each_microphone() -> None:
    table = devices_text([*DESK, device(6, 'My "good" mic', proposed='My "good" mic')])
    assert "   2      USB PnP Sound Device: Audio (hw:1,0)   ALSA      2         48000" in table
    assert "*  5      default" in table
    assert "soundwatch run --device default\n" in table
    assert r'soundwatch run --device "My \"good\" mic"' in table
    long = devices_text([*DESK, device(6, "x" * 300)]).splitlines()
    assert long[:3] == devices_text(DESK).splitlines()[:3], "a long name shifts its own row only"


def test_the_json_form_carries_every_field() -> None:
    assert json.loads(devices_json(DESK[2:])) == [
        {
            "index": 5,
            "name": "default",
            "host_api": "ALSA",
            "channels": 2,
            "rate_hz": 48_000,
            "default": True,
            "device": "default",
            "lasting": [],
            "monitor": False,
        }
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="ALSA is Linux's sound system")
def test_a_name_that_is_not_utf8_hides_no_other_device(tmp_path: Path) -> None:
    """Use the real library with two names that are cut within a character, and a good one."""
    try:
        load_portaudio()
    except SourceUnavailableError as error:
        pytest.skip(str(error))
    names = (b"Mikrofon K\xc3", b"\xff", b"yard")
    (tmp_path / ".asoundrc").write_bytes(b"".join(b'pcm."%s" { type null }\n' % name for name in names))
    listed = {device.name for device in list_devices_apart({"HOME": str(tmp_path)})}
    assert {"Mikrofon K\ufffd", "\ufffd", "yard"} <= listed
    environment = {**os.environ, "HOME": str(tmp_path)}
    opening = "import sys; from soundwatch.daemon.capture import Microphone; Microphone('mic0', sys.argv[1])"
    for name, message in (
        ("yard", ""),
        ("Mikrofon", "SourceError: Opening Mikrofon K\ufffd, ALSA failed: the device's name"),
    ):
        tried = subprocess.run([sys.executable, "-c", opening, name], env=environment, capture_output=True, check=False)
        last = (tried.stderr.decode().splitlines() or [""])[-1]
        assert message in last
        assert bool(last) is bool(message), last


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "message"),
    [
        ("import os; os.abort()", "the process was ended by SIGABRT in PortAudio or the sound system"),
        ("import os; os._exit(3)", "the process ended with code 3 in PortAudio"),
        ("raise OSError('no libportaudio')", "Microphones need PortAudio, which does not load: no libportaudio"),
    ],
)
def test_a_portaudio_that_crashes_or_does_not_load_ends_only_the_process_that_lists(
    tmp_path: Path, library: str, message: str
) -> None:
    (tmp_path / "sounddevice.py").write_text(library)
    with pytest.raises(SourceError, match=message):
        list_devices_apart({"PYTHONPATH": str(tmp_path)})


@pytest.mark.slow
def test_a_module_of_the_current_folder_takes_no_place_of_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("msgspec.py", "sounddevice.py", "types.py"):
        (tmp_path / name).write_text("import os; os._exit(3)")
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SourceUnavailableError):  # PortAudio is not installed
        load_portaudio()
        assert isinstance(list_devices_apart(), tuple)

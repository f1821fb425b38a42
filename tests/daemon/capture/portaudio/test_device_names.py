"""Stable names of microphones after a change of card numbers, with a /sys of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.capture.portaudio.device_names import SoundCard, list_cards, resolve_device, stable_names
from soundwatch.daemon.capture.portaudio.devices import Device, devices_text
from soundwatch.daemon.core.errors import SourceError


def add_card(root: Path, number: int, card_id: str, port: str = "", numbers: tuple[str, ...] = ()) -> None:
    """Write the entries of Linux for a sound card, on a USB port or built in."""
    device = root / "sys/devices" / (f"usb1/{port}/{port}:1.0" if port else "pci0")
    folder = device / f"sound/card{number}"
    folder.mkdir(parents=True)
    (folder / "id").write_text(f"{card_id}\n")
    (folder / "device").symlink_to(device)
    for file, text in zip(("idVendor", "idProduct", "serial"), numbers, strict=False):
        (device.parent / file).write_text(f"{text}\n")
    (root / "sys/class/sound").mkdir(parents=True, exist_ok=True)
    (root / f"sys/class/sound/card{number}").symlink_to(folder)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    add_card(tmp_path, 0, "PCH")
    add_card(tmp_path, 1, "Device", "1-1.2", ("0d8c", "0014"))
    add_card(tmp_path, 2, "Device_1", "1-1.4", ("0d8c", "0014"))
    add_card(tmp_path, 3, "Yeti", "2-3", ("b58e", "9e84", "REV8"))
    return tmp_path


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("alsa:PCH", "(hw:0,"),
        ("port:1-1.4", "(hw:2,"),
        ("usb:b58e:9e84", "(hw:3,"),
        ("usb:b58e:9e84:REV8", "(hw:3,"),
        ("USB PnP", "USB PnP"),
        ("2", "2"),
    ],
)
def test_a_stable_name_resolves_to_the_present_index(desk: Path, device: str, name: str) -> None:
    assert resolve_device(device, desk) == name


def test_two_microphones_of_one_type_have_different_ports(desk: Path) -> None:
    with pytest.raises(SourceError, match="2 sound cards are usb:0d8c:0014; exactly one was expected") as caught:
        resolve_device("usb:0d8c:0014", desk)
    assert str(caught.value).endswith(
        "  alsa:Device or usb:0d8c:0014 or port:1-1.2\n  alsa:Device_1 or usb:0d8c:0014 or port:1-1.4"
    )


@pytest.mark.parametrize("device", ["alsa:Nowhere", "usb:0d8c:001", "port:1-1"])
def test_a_card_that_is_not_there_is_an_error_that_lists_all(desk: Path, device: str) -> None:
    with pytest.raises(SourceError, match=f"No sound card is {device}") as caught:
        resolve_device(device, desk)
    assert str(caught.value).count("alsa:") == 4 + device.startswith("alsa:")


def test_a_machine_without_sound_cards_is_reported(tmp_path: Path) -> None:
    assert list_cards(tmp_path) == ()
    with pytest.raises(SourceError, match="there is none"):
        resolve_device("alsa:PCH", tmp_path)


def test_a_device_is_listed_with_its_stable_names() -> None:
    there = [SoundCard(1, ("alsa:Device", "port:1-1.2"))]
    assert stable_names("USB PnP: Audio (hw:1,0)", there) == there[0].names
    assert stable_names("default", there) == stable_names("USB (hw:11,0)", there) == ()
    device = Device(4, "USB PnP: Audio (hw:1,0)", "ALSA", 1, 48_000, True, "USB PnP: Audio", there[0].names)
    assert devices_text([device]).endswith("4 is also alsa:Device, port:1-1.2")

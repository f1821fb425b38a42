"""The configuration that `soundwatch run` makes of a file and its options."""

from __future__ import annotations

import pytest

from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.capture.microphones import inputs
from soundwatch.daemon.capture.microphones.inputs import Inputs
from soundwatch.daemon.capture.portaudio.devices import Device
from soundwatch.daemon.cli.run import _present_or_demo, _without_demo_journal
from soundwatch.daemon.config.config import Config, JournalConfig
from soundwatch.daemon.config.source import SourceConfig
from support.memory_logger import MemoryLogger

CARD = Device(0, "USB", "ALSA", 1, 48_000, True, "USB")
DESK = Device(None, "Desk", "sound server", 1, 16_000, True, "pulse:desk")
PLAYED = Device(None, "Played", "sound server", 2, 44_100, True, "pulse:out.monitor", monitor=True)
DEMO, MICROPHONE = SourceConfig(device="demo"), SourceConfig()


@pytest.mark.parametrize(
    ("sources", "named", "path"),
    [
        ({"demo": DEMO}, None, "memory"),
        ({"demo": DEMO}, "kept.db", "kept.db"),
        ({"demo": DEMO, "mic0": MICROPHONE}, None, None),
        ({"mic0": MICROPHONE}, None, None),
    ],
)
def test_events_of_the_demo_alone_are_stored_only_in_a_named_journal(
    sources: dict[str, SourceConfig], named: str | None, path: str | None
) -> None:
    config = Config(journal=JournalConfig(path=named))
    assert _without_demo_journal(RunConfig(config, sources, ())).config.journal.path == path


@pytest.mark.parametrize(
    ("listed", "configured", "opened"),
    [
        (Inputs((CARD,)), "default", "default"),
        (Inputs((CARD,), (DESK,)), "default", "default"),
        (Inputs((), (DESK, PLAYED)), "default", "pulse"),
        (Inputs((), (DESK,), "PortAudio does not load."), "default", "pulse"),
        (Inputs((), (DESK,)), "usb:0d8c:0014", "usb:0d8c:0014"),
        (Inputs((), (PLAYED,)), "default", "demo"),
        (Inputs((), (PLAYED,)), "pulse:out.monitor", "pulse:out.monitor"),
        (Inputs(), "USB PnP", "demo"),
        (Inputs(server_error="The sound server hangs."), "pulse", "demo"),
        (Inputs(), "rtsp://camera/1", "rtsp://camera/1"),
        (Inputs(), "street.wav", "street.wav"),
    ],
)
def test_the_demo_runs_in_place_of_microphones_only_where_no_sound_system_lists_one(
    monkeypatch: pytest.MonkeyPatch, listed: Inputs, configured: str, opened: str
) -> None:
    monkeypatch.setattr(inputs, "list_inputs", lambda: listed)
    log = MemoryLogger()
    sources = _present_or_demo({"mic0": SourceConfig(device=configured, gain_db=6.0)}, log)
    if opened == "demo":
        assert sources == {"demo": SourceConfig(device="demo")}
        assert log.events == ["no_microphone"]
    else:
        assert sources == {"mic0": SourceConfig(device=opened, gain_db=6.0)}
        assert not log.entries

"""Checks of outputs without opening them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.app.check import check_config, check_devices, check_outputs
from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.app.reload import select_sources
from soundwatch.daemon.app.source_rules import checked_sources
from soundwatch.daemon.capture import open_source
from soundwatch.daemon.config.config import ClipsConfig, Config, DetectionConfig
from soundwatch.daemon.config.file import parse_config
from soundwatch.daemon.config.source import ClassConfig, SourceConfig
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.detection.rules import COMMON
from soundwatch.daemon.sinks.kinds import parse_sink, prepare_sink
from support.fakes import SMALL_CONTRACT

LOUD_CONTRACT = msgspec.structs.replace(SMALL_CONTRACT, labels=("low", "loud"), thresholds={"low": 0.5, "loud": 0.5})
PAGE = "http://127.0.0.1:1"
PICTURES = "mqtt://localhost,pictures=1"


def check(*sinks: str, clips: ClipsConfig | None = None) -> None:
    check_outputs(Config(sinks=sinks, clips=clips or ClipsConfig()), SMALL_CONTRACT, openable=True)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trusted_proxies=10.0.0.0/99", "trusted_proxies=10.0.0.0/99 is not an address"),
        ("proxy=10.0.0.0/8", "proxy=10.0.0.0/8 is not an address"),
        ("frame=xx", "frame=xx is not an origin"),
        ("bogus=1", "bogus is no option of it"),
        ("certificate=/none/cert.pem", "TLS needs both"),
        ("token_file=/none/token", "/none/token cannot be read"),
    ],
)
def test_a_page_that_the_daemon_refuses_is_refused(option: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(f"{PAGE},{option}")


@pytest.mark.parametrize("pcm", ["s16le,0,1", "s16le,44100", "s17le,44100,1", "s16le,44100,0"])
def test_a_format_of_raw_samples_that_no_source_has_is_refused(pcm: str) -> None:
    with pytest.raises(ConfigError, match=r"^sources.pipe.pcm: "):
        check_devices(Config(sources={"pipe": SourceConfig(device="-", pcm=pcm)}))


@pytest.mark.parametrize("scheme", ["rtsps", "RTMPS"])
def test_an_address_whose_certificate_ffmpeg_cannot_check_is_refused_before_the_run(scheme: str) -> None:
    camera = SourceConfig(device=f"{scheme}://camera/1")
    with pytest.raises(ConfigError, match=r"^sources.gate.certificate is 'checked'.*`certificate: unchecked`"):
        check_devices(Config(sources={"gate": camera}))
    check_devices(Config(sources={"gate": msgspec.structs.replace(camera, certificate="unchecked")}))


@pytest.mark.parametrize("device", ["", "  "])
def test_a_source_without_a_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=r"^sources.yard.device is empty"):
        check_devices(Config(sources={"yard": SourceConfig(device=device)}))
    with pytest.raises(ConfigError, match="The device is empty"):
        open_source("yard", device)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("pcm+tcp://camera", "^sources.yard: 'pcm.tcp://camera' is not a valid address; write pcm.tcp://HOST:PORT"),
        ("pcm+udp://0.0.0.0:99?x=1", "is not a valid address"),
        ("file:///home/me/a.WAV", r"^sources.yard: file:///home/me/a.WAV is the address of a recording; its path was"),
        ("WYOMING://satellite", "is not a valid address; write wyoming://HOST:PORT"),
    ],
)
def test_a_malformed_address_is_refused(device: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_devices(Config(sources={"yard": SourceConfig(device=device)}))


def test_an_address_that_may_be_opened_is_accepted() -> None:
    unchecked = SourceConfig(device="rtsps://camera/1", certificate="unchecked")
    others = [
        SourceConfig(device=device)
        for device in ("https://radio/1", "file:///etc/sender.sdp", "PCM+TCP://camera:99", "nvr", 3)
    ]
    check_devices(Config(sources={str(number): source for number, source in enumerate([unchecked, *others])}))


def test_a_page_is_accepted_whose_token_may_be_in_the_environment_of_the_service() -> None:
    check("http://0.0.0.0:1", f"{PAGE},trusted_proxies=10.0.0.0/8")


def test_pictures_are_refused_where_clips_have_none(tmp_path: Path) -> None:
    for clips in (None, ClipsConfig(folder=str(tmp_path)), ClipsConfig(pictures=True)):
        with pytest.raises(ConfigError, match=r"pictures=1 publishes the pictures of clips, and none are written"):
            check(PICTURES, clips=clips)
    check(PICTURES, clips=ClipsConfig(folder=str(tmp_path), pictures=True))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules that Apprise imports
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("level: {enabled: true, loud: {}}", "the model .* has a class loud"),
        ("shadow: {file: tutorial}", "cannot be the shadow of"),
        ("clips: {folder: clips, speech_guard: tutorial}", "tutorial has no label for speech"),
        ("rules: {r: {then: {send: ['apprise:ntfi://host/street']}}}", r"did you mean ntfy\?"),
    ],
)
def test_what_a_start_refuses_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_config(parse_config(text.encode(), Path("config.yaml")), LOUD_CONTRACT)


def test_pictures_without_clips_are_refused_before_anything_is_opened() -> None:
    config = Config(sinks=("mqtt://localhost,pictures=1",))
    with detached_view(config, SMALL_CONTRACT) as view, pytest.raises(ConfigError, match="none are written"):
        prepare_sink(parse_sink(config.sinks[0]), view)


def test_a_new_source_is_checked_against_the_sinks_that_stay() -> None:
    config, names = Config(sinks=("mqtt://localhost",)), ["mic 0", "mic_0"]
    with pytest.raises(ConfigError, match="would share MQTT topics"):
        check_outputs(config, SMALL_CONTRACT, names)
    check_outputs(Config(sinks=("json:/none/such/folder/a.jsonl",)), SMALL_CONTRACT, names)
    with pytest.raises(SinkError, match="is not there and cannot be made"):
        check_outputs(Config(sinks=("json:/none/such/folder/a.jsonl",)), SMALL_CONTRACT, openable=True)


def test_two_sources_that_read_standard_input_are_refused_unless_one_runs() -> None:
    both = Config(sources={"a": SourceConfig(device="-"), "b": SourceConfig(device="-")})
    with pytest.raises(ConfigError, match="The sources a and b read standard input"):
        check_devices(both)
    for devices in ((), ("a", "b"), ("-", "a")):
        with pytest.raises(ConfigError, match="read standard input"):
            select_sources(both, devices)
    assert list(select_sources(both, ("a",))) == ["a"]


@pytest.mark.parametrize("classes", [{}, {"low": ClassConfig(max_duration_s=5)}])
def test_a_shortest_duration_above_the_longest_is_refused(classes: dict[str, ClassConfig]) -> None:
    detection = DetectionConfig(min_duration_s=10, max_duration_s=60 if classes else 9, classes=classes)
    longest = r"detection\.classes\.low\.max_duration_s \(5 s\)" if classes else r"detection\.max_duration_s \(9 s\)"
    with pytest.raises(ConfigError, match=rf"^detection\.min_duration_s \(10 s\) is above {longest}\. Lower"):
        checked_sources(Config(detection=detection), SMALL_CONTRACT)


def test_a_longest_duration_below_the_default_of_the_shortest_lowers_it() -> None:
    detection = DetectionConfig(max_duration_s=0.5, classes={"low": ClassConfig(max_duration_s=0.25)})
    sources = checked_sources(Config(detection=detection), SMALL_CONTRACT)
    found = {one.label: (one.min_duration_s, one.max_duration_s) for one in sources[COMMON].settings.classes}
    assert [durations[0].value for durations in found.values()] == [0.25, 0.5]
    assert all(shortest == longest for shortest, longest in found.values()), "with its origin, too"
    with pytest.raises(ConfigError, match=r"min_duration_s \(400 s\) is above the default of max_duration_s \(300 s\)"):
        checked_sources(Config(detection=DetectionConfig(min_duration_s=400)), SMALL_CONTRACT)


def test_the_durations_of_a_disabled_class_are_not_checked() -> None:
    disabled = DetectionConfig(classes={"low": ClassConfig(enabled=False, min_duration_s=500)})
    assert checked_sources(Config(detection=disabled), LOUD_CONTRACT)


def test_a_sink_without_its_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="A mapping in `sinks` has no key `sink`"):
        parse_sink({"json": "events.jsonl"})


def test_an_argument_of_a_command_that_is_not_there_is_not_shown() -> None:
    with pytest.raises(SinkError, match=r"^/none/notify \*\*\* is no file") as refused:
        check("command:/none/notify hunter2")
    assert "hunter2" not in str(refused.value)

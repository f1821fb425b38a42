"""Checks of outputs without opening them."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.app.check import check_devices, check_outputs
from soundwatch.daemon.capture import open_source
from soundwatch.daemon.core.config import ClipsConfig, Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.source_config import SourceConfig
from support.fakes import SMALL_CONTRACT

PAGE = "http://127.0.0.1:1"
PICTURES = "mqtt://localhost,pictures=1"


def check(*sinks: str, clips: ClipsConfig | None = None) -> None:
    check_outputs(Config(sinks=sinks, clips=clips or ClipsConfig()), SMALL_CONTRACT, {})


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


@pytest.mark.parametrize("device", ["", "  "])
def test_a_source_without_a_device_is_refused(device: str) -> None:
    with pytest.raises(ConfigError, match=r"^sources.yard.device is empty"):
        check_devices(Config(sources={"yard": SourceConfig(device=device)}))
    with pytest.raises(ConfigError, match="The device is empty"):
        open_source("yard", device)


def test_a_page_is_accepted_whose_token_may_be_in_the_environment_of_the_service() -> None:
    check("http://0.0.0.0:1", f"{PAGE},trusted_proxies=10.0.0.0/8")


def test_pictures_are_refused_where_clips_have_none(tmp_path: Path) -> None:
    for clips in (None, ClipsConfig(folder=str(tmp_path)), ClipsConfig(pictures=True)):
        with pytest.raises(ConfigError, match=r"pictures=1 publishes the pictures of clips, and none are written"):
            check(PICTURES, clips=clips)
    check(PICTURES, clips=ClipsConfig(folder=str(tmp_path), pictures=True))

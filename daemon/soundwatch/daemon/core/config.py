"""Configuration: its keys, types and defaults.

Conventions: units are in the keys; every key has a default, so an empty file is a configuration.
The example `config.yaml` at the top of the repository shows every key with its default and reason.
Does not: read files (`config_file.py`), or configure the front end, which the model's contract defines.
"""

from __future__ import annotations

import socket
from typing import Annotated, Final, Literal

import msgspec

from soundwatch.daemon.core.channels import ChannelSelection
from soundwatch.daemon.core.level_config import LevelConfig, OffsetDb
from soundwatch.daemon.core.place_config import PlaceConfig

YEAR_S: Final = 31_536_000.0

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=YEAR_S)]
Windows = Annotated[float, msgspec.Meta(ge=1, le=1e6)]


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of sound.

    Attributes:
        device: A microphone's name, part of a name or index, a file, a named pipe, a URL, `-`, `demo`, or `default`.
        channels: Number of channels to open, null for the device's own, two at most; or a selection: left, right,
            mix (the mean of all), pair (the first two).
        pcm: Format of raw samples: sample format, rate in Hz, channels; for a URL the format that ffmpeg converts to.
        level_offset_db: Level of full scale in decibels of sound pressure; null without calibration.
    """

    device: str | int = "default"
    channels: Annotated[int, msgspec.Meta(ge=1, le=64)] | ChannelSelection | None = None
    pcm: str = "s16le,44100,1"
    level_offset_db: OffsetDb | None = None


class ClassConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of `detection` for one class; null keeps the common value."""

    threshold: Share | None = None
    confirm_windows: Windows | None = None
    release_ratio: Share | None = None
    min_duration_s: Seconds | None = None
    max_duration_s: Seconds | None = None
    cooldown_s: Seconds | None = None
    enabled: bool = True


class DetectionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that turn scores into events; `detection/decide.py` describes them."""

    threshold: Share | None = None
    confirm_windows: Windows = 1.0
    release_ratio: Share = 0.7
    min_duration_s: Seconds = 1.0
    max_duration_s: Annotated[float, msgspec.Meta(gt=0, le=YEAR_S)] = 300.0
    cooldown_s: Seconds = 5.0
    update_s: Annotated[float, msgspec.Meta(gt=0, le=YEAR_S)] = 10.0
    calibration: str | None = None
    classes: dict[str, ClassConfig] = {}
    tags: tuple[str, ...] = ()


BACKENDS: Final = r"^(auto|onnx|torchscript|triton://[^/@:]+:[0-9]+/?)$"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model file, backend and execution provider."""

    file: str = "urban"
    sha256: str | None = None
    backend: Annotated[str, msgspec.Meta(pattern=BACKENDS)] = "auto"
    provider: str = "auto"
    require_cuda: bool = False
    device_id: Annotated[int, msgspec.Meta(ge=0, le=63)] = 0
    gpu_memory_bytes: Annotated[int, msgspec.Meta(ge=64_000_000)] = 512 * 1024 * 1024
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1


class ShadowConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Second model that is compared with the first, and the share of windows that it classifies."""

    file: str | None = None
    share: Share = 0.1


class JournalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Path and retention of the journal, which sinks, `soundwatch tail` and the page read."""

    path: str | None = None
    max_age_days: Annotated[float, msgspec.Meta(gt=0)] = 90.0
    max_bytes: Annotated[int, msgspec.Meta(ge=4_000_000)] = 64_000_000


class ClipsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folder, length and retention of recorded clips; without a folder no sound is written.

    Attributes:
        speech_guard: true for the shipped model, false for none, or another model's path.
    """

    folder: str | None = None
    pre_roll_s: Annotated[float, msgspec.Meta(ge=0, le=30)] = 2.0
    post_roll_s: Annotated[float, msgspec.Meta(ge=0, le=30)] = 2.0
    max_s: Annotated[float, msgspec.Meta(ge=1, le=300)] = 30.0
    speech_guard: bool | str = True
    max_age_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0
    max_bytes: Annotated[int, msgspec.Meta(ge=10_000_000)] = 1_000_000_000
    best_per_class: Annotated[int, msgspec.Meta(ge=0)] = 10


class LogConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Level and format of the log on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "pretty", "json"] = "auto"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All keys of the configuration file."""

    node: str | None = None
    place: PlaceConfig = PlaceConfig()
    sources: dict[str, SourceConfig] = msgspec.field(default_factory=lambda: {"mic0": SourceConfig()})
    model: ModelConfig = ModelConfig()
    shadow: ShadowConfig = ShadowConfig()
    detection: DetectionConfig = DetectionConfig()
    level: LevelConfig = LevelConfig()
    stats_s: Annotated[float, msgspec.Meta(ge=1)] | None = 3600.0
    journal: JournalConfig = JournalConfig()
    clips: ClipsConfig = ClipsConfig()
    sinks: tuple[str | dict[str, str | int | float | bool | None], ...] = ("json",)
    log: LogConfig = LogConfig()


def node_name(config: Config) -> str:
    """Return the name of this machine in events."""
    return config.node or socket.gethostname()

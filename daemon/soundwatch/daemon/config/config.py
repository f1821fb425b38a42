"""Configuration: its keys, types and defaults.

Conventions: units are in the keys; every key has a default, so an empty file is a configuration.
The example `config.yaml` at the top of the repository shows every key with its default and reason.
Does not: read files (`file.py`), or configure the front end, which the model's contract defines.
"""

from __future__ import annotations

import socket
from typing import Annotated, Final, Literal

import msgspec

from soundwatch.daemon.config.level import LevelConfig
from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.config.schedule import ScheduleConfig
from soundwatch.daemon.config.source import (
    MOST_BYTES,
    YEAR_S,
    ClassConfig,
    ClipSeconds,
    GivenText,
    LongestSeconds,
    RollSeconds,
    Seconds,
    Share,
    SourceConfig,
    Windows,
)


class DetectionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules that turn scores into events; `detection/decide.py` describes them."""

    threshold: Share | None = None
    confirm_windows: Windows = 1.0
    release_ratio: Share = 0.7
    min_duration_s: Seconds = 1.0
    max_duration_s: LongestSeconds = 300.0
    cooldown_s: Seconds = 5.0
    update_s: LongestSeconds = 10.0
    calibration: GivenText | None = None
    classes: dict[str, ClassConfig] = {}
    tags: tuple[str, ...] = ()


SHA256: Final = r"^[0-9a-fA-F]{8,64}$"
_PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
BACKENDS: Final = rf"^(auto|onnx|torchscript|triton://[^/@: ]+:{_PORT}/?)$"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Model file, backend and execution provider."""

    file: GivenText = "urban"
    sha256: Annotated[str, msgspec.Meta(pattern=SHA256)] | None = None
    backend: Annotated[str, msgspec.Meta(pattern=BACKENDS)] = "auto"
    provider: str = "auto"
    require_cuda: bool = False
    device_id: Annotated[int, msgspec.Meta(ge=0, le=63)] = 0
    gpu_memory_bytes: Annotated[int, msgspec.Meta(ge=64_000_000, le=MOST_BYTES)] = 512 * 1024 * 1024
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1


class ShadowConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Second model that is compared with the first, and the share of windows that it classifies."""

    file: GivenText | None = None
    share: Share = 0.1


class JournalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Path and retention of the journal, which sinks, `soundwatch tail` and the page read."""

    path: GivenText | None = None
    max_age_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 90.0
    max_bytes: Annotated[int, msgspec.Meta(ge=4_000_000, le=MOST_BYTES)] = 64_000_000


class ClipsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Folder, length and retention of recorded clips; without a folder no sound is written.

    Attributes:
        pictures: Write the spectrogram of each clip as a PNG file; needs the extra `pictures`.
        speech_guard: true for the shipped model, false for none, or another model's path.
    """

    folder: GivenText | None = None
    pre_roll_s: RollSeconds = 2.0
    post_roll_s: RollSeconds = 2.0
    max_s: ClipSeconds = 30.0
    pictures: bool = False
    speech_guard: bool | GivenText = True
    max_age_days: Annotated[float, msgspec.Meta(gt=0, le=36_500)] = 30.0
    max_bytes: Annotated[int, msgspec.Meta(ge=10_000_000, le=MOST_BYTES)] = 1_000_000_000
    best_per_class: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 10


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
    schedules: dict[str, ScheduleConfig] = {}
    stats_s: Annotated[float, msgspec.Meta(ge=1, le=YEAR_S)] | None = 3600.0
    journal: JournalConfig = JournalConfig()
    clips: ClipsConfig = ClipsConfig()
    sinks: tuple[str | dict[str, str | int | float | bool | None], ...] = ("json",)
    rules: dict[str, RuleConfig] = {}
    log: LogConfig = LogConfig()

    def __post_init__(self) -> None:
        """Refuse events of a meter that is off."""
        for name, source in self.sources.items():
            if not self.level.enabled and (source.loud or source.silence):
                raise ValueError(f"loud and silence of sources.{name} need the meter; set level.enabled: true")

    @property
    def level_classes(self) -> tuple[str, ...]:
        """Classes of the sound level meter that any source has."""
        found = {label for level in (self.level, *map(self.level_of, self.sources)) for label in level.classes}
        return tuple(sorted(found))

    def level_of(self, source: str) -> LevelConfig:
        """Return the meter of a source; a name that is not configured has the common one."""
        own = self.sources.get(source, SourceConfig())
        return self.level.of_source(own.loud, own.silence)


def node_name(config: Config) -> str:
    """Return the name of this machine in events."""
    return config.node or socket.gethostname()

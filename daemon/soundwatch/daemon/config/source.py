"""Configuration of one source: the sound to open, and what differs from the common settings.

Conventions: units are in the keys; null keeps the common value. `detection/effective.py` resolves the values.
Does not: define the common settings (`config.py`).
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from soundwatch.daemon.config.level import LoudConfig, OffsetDb, SilenceConfig, check_own
from soundwatch.daemon.core.records.channels import ChannelSelection

YEAR_S: Final = 31_536_000.0
MOST_BYTES: Final = 10**15

GivenText = Annotated[str, msgspec.Meta(min_length=1)]  # an empty path would be the current folder
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=YEAR_S)]
LongestSeconds = Annotated[float, msgspec.Meta(gt=0, le=YEAR_S)]
Windows = Annotated[float, msgspec.Meta(ge=1, le=1e6)]
RollSeconds = Annotated[float, msgspec.Meta(ge=0, le=30)]
ClipSeconds = Annotated[float, msgspec.Meta(ge=1, le=300)]


class DetectionOverrides(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of `detection` that a class and a source can both have; null keeps the common value."""

    threshold: Share | None = None
    confirm_windows: Windows | None = None
    release_ratio: Share | None = None
    min_duration_s: Seconds | None = None
    max_duration_s: LongestSeconds | None = None
    cooldown_s: Seconds | None = None


class ClassConfig(DetectionOverrides, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of `detection` for one class; null keeps the common value."""

    enabled: bool | None = None


class SourceDetectionConfig(DetectionOverrides, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of `detection` for one source; null keeps the common value.

    Attributes:
        calibration: Calibration of this source, or false for none.
        classes: Overrides for single classes of this source.
    """

    update_s: LongestSeconds | None = None
    calibration: GivenText | bool | None = None
    classes: dict[str, ClassConfig] = {}

    def __post_init__(self) -> None:
        """Refuse a calibration of true."""
        if self.calibration is True:
            raise ValueError("calibration is the path of a file, false for none, or null for the common one, not true")


class SourceClipsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Overrides of `clips` for one source; null keeps the common value.

    Attributes:
        classes: Classes whose events give clips; null for all.
        speech_guard: false writes clips of this source without the check for speech.
    """

    classes: tuple[str, ...] | None = None
    pre_roll_s: RollSeconds | None = None
    post_roll_s: RollSeconds | None = None
    max_s: ClipSeconds | None = None
    speech_guard: bool | None = None


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of sound.

    Attributes:
        device: A microphone's name, part of a name or index, a file, a named pipe, a URL, `-`, `demo`, or `default`.
        channels: Number of channels to open, null for the device's own, two at most; or a selection: left, right,
            mix (the mean of all), pair (the first two).
        pcm: Format of raw samples: sample format, rate in Hz, channels; for a URL the format that ffmpeg converts to.
        certificate: Check of the server's certificate for https:// and other encrypted URLs: checked, unchecked, or a
            file with issuers.
        level_offset_db: Level of full scale in decibels of sound pressure; null without calibration.
        gain_db: Gain before the front end.
        high_pass_hz: Corner frequency of a high-pass before the front end; null for none.
        listen: The sound can be listened to on the page, with its token.
        detection: Overrides of `detection`.
        clips: false for no clips of this source, or overrides of `clips`.
        loud: `level.loud` of this source; false for none, null for that.
        silence: `level.silence` of this source; false for none, null for that.
    """

    device: str | int = "default"
    channels: Annotated[int, msgspec.Meta(ge=1, le=64)] | ChannelSelection | None = None
    pcm: str = "s16le,44100,1"
    certificate: str = "checked"
    level_offset_db: OffsetDb | None = None
    gain_db: Annotated[float, msgspec.Meta(ge=-60, le=60)] = 0.0
    high_pass_hz: Annotated[float, msgspec.Meta(ge=10, le=2000)] | None = None
    listen: bool = False
    detection: SourceDetectionConfig = SourceDetectionConfig()
    clips: bool | SourceClipsConfig = True
    loud: LoudConfig | bool | None = None
    silence: SilenceConfig | bool | None = None

    def __post_init__(self) -> None:
        """Refuse limits of true."""
        check_own("loud", self.loud)
        check_own("silence", self.silence)

"""What a user may set, typed at the border.

Conventions: units are in the keys; every key has a default, so an empty file is a configuration.
The example `config.yaml` at the top of the repository shows every key with its default and reason.
Does not: say anything of the front end. That is the model's contract, which nothing here can contradict
unnoticed (`check_against_contract`).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from soundwatch.daemon.core.channels import ChannelSelection
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError

LONGEST_BYTES: Final = 1 << 20
YEAR_S: Final = 31_536_000.0

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=YEAR_S)]
Windows = Annotated[float, msgspec.Meta(ge=1, le=1e6)]


class SourceConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of sound.

    Attributes:
        device: A microphone's name, part of it or index, a file, a named pipe, a URL, `-`, `demo`, or `default`.
        channels: How many to open, null for as many as the device has, two at most; or which to hear: left, right,
            mix (the mean of all), pair (the first two).
        pcm: Format of raw samples: sample format, rate in Hz, channels; for a URL what ffmpeg is to make of it.
    """

    device: str | int = "default"
    channels: Annotated[int, msgspec.Meta(ge=1, le=64)] | ChannelSelection | None = None
    pcm: str = "s16le,44100,1"


class ClassConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one class does otherwise than `detection` says; null keeps that."""

    threshold: Share | None = None
    confirm_windows: Windows | None = None
    release_ratio: Share | None = None
    min_duration_s: Seconds | None = None
    max_duration_s: Seconds | None = None
    cooldown_s: Seconds | None = None
    enabled: bool = True


class DetectionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How scores become events; `detection/decide.py` tells the rules."""

    threshold: Share | None = None
    confirm_windows: Windows = 1.0
    release_ratio: Share = 0.7
    min_duration_s: Seconds = 1.0
    max_duration_s: Annotated[float, msgspec.Meta(gt=0, le=YEAR_S)] = 300.0
    cooldown_s: Seconds = 5.0
    update_s: Annotated[float, msgspec.Meta(gt=0, le=YEAR_S)] = 10.0
    calibration: str | None = None
    classes: dict[str, ClassConfig] = {}


BACKENDS: Final = r"^(auto|onnx|torchscript|triton://[^/@:]+:[0-9]+/?)$"


class ModelConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network listens, and what runs it."""

    file: str = "urban"
    sha256: str | None = None
    backend: Annotated[str, msgspec.Meta(pattern=BACKENDS)] = "auto"
    provider: str = "auto"
    require_cuda: bool = False
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] = 1


class ShadowConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which network runs beside the one that listens and is held against it, and on how many of its windows."""

    file: str | None = None
    share: Share = 0.1


class JournalConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events are kept for sinks that are away, `soundwatch tail` and the page, and how many."""

    path: str | None = None
    max_age_days: Annotated[float, msgspec.Meta(gt=0)] = 90.0
    max_bytes: Annotated[int, msgspec.Meta(ge=4_000_000)] = 64_000_000


class ClipsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether events' sound is written to files, and how much of it; without a folder no sound ever is.

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
    """The diary on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "pretty", "json"] = "auto"


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole configuration."""

    node: str | None = None
    sources: dict[str, SourceConfig] = msgspec.field(default_factory=lambda: {"mic0": SourceConfig()})
    model: ModelConfig = ModelConfig()
    shadow: ShadowConfig = ShadowConfig()
    detection: DetectionConfig = DetectionConfig()
    stats_s: Annotated[float, msgspec.Meta(ge=1)] | None = 3600.0
    journal: JournalConfig = JournalConfig()
    clips: ClipsConfig = ClipsConfig()
    sinks: tuple[str | dict[str, str | int | float | bool | None], ...] = ("json",)
    log: LogConfig = LogConfig()


def load_config(path: Path | None) -> Config:
    """Read a YAML file; None gives the defaults.

    Raises:
        ConfigError: It cannot be read, is not YAML, has a key that is not known, or a value out of range.
    """
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Give the path of a YAML file.") from error
    if len(content) > LONGEST_BYTES:
        raise ConfigError(f"{path} is longer than {LONGEST_BYTES} bytes, which no configuration is.")
    tree = parse_yaml(content, str(path))
    try:
        config = msgspec.convert({} if tree is None else tree, Config)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{path}: {_explain(str(error))}") from error
    _check_text(config, path)
    if config.detection.calibration is None:
        return config
    beside = str(path.parent / config.detection.calibration)
    return msgspec.structs.replace(config, detection=msgspec.structs.replace(config.detection, calibration=beside))


def parse_yaml(content: bytes, where: str) -> Any:
    """What a YAML file holds.

    Args:
        content: The file's.
        where: The file, for the message.

    Raises:
        ConfigError: It is not YAML, or not what YAML's parser can take.
    """
    try:
        return yaml.safe_load(content.decode("utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 13 is a ValueError of the parser
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from error


def _check_text(config: Config, path: Path) -> None:
    """Refuse what no name or path can hold and no line can carry."""
    for value in _texts(msgspec.to_builtins(config)):
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise ConfigError(f"{path}: {value!r} holds a character that no name can have; leave it out.")


def check_against_contract(config: Config, contract: ModelContract) -> None:
    """Refuse a configuration that a model contradicts.

    Raises:
        ConfigError: Another model is pinned, or a class is configured that the model does not know.
    """
    pinned = config.model.sha256
    if pinned is not None and not contract.weights_sha256.startswith(pinned.lower()):
        raise ConfigError(
            f"model.sha256 pins {pinned}, but {config.model.file} holds {contract.weights_sha256}. "
            "Give the pinned model's file, or remove model.sha256 to accept this one."
        )
    for label in config.detection.classes:
        if label not in contract.labels:
            near = difflib.get_close_matches(label, contract.labels, n=1)
            raise ConfigError(
                f"detection.classes.{label}: the model {contract.identity} has no such class"
                + (f"; did you mean {near[0]}?" if near else ".")
                + f" Its classes are {', '.join(contract.labels)}."
            )


def _texts(tree: Any) -> Iterator[str]:
    """Every string of a tree, keys too."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for each in (*tree, *tree.values()):
            yield from _texts(each)
    elif isinstance(tree, list | tuple):
        for each in tree:
            yield from _texts(each)


def _explain(message: str) -> str:
    """The message of msgspec, with the nearest known key where a key is unknown."""
    unknown = re.search(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?", message)
    if unknown is None:
        return message.replace("`$.", "`") + "."
    key, where = unknown[1], unknown[2] or ""
    known = _keys_at(where)
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"`{where + '.' if where else ''}{key}` is no key; {hint}Known here: {', '.join(known)}."


def _keys_at(where: str) -> list[str]:
    """The keys known at a path such as `sources[...]` or `detection.classes[...]`."""
    type_: Any = Config
    for part in re.findall(r"\[\.\.\.\]|[^.\[]+", where):
        if part == "[...]":
            type_ = type_.__args__[1]
        else:
            type_ = next(f.type for f in msgspec.structs.fields(type_) if f.encode_name == part)
    return [field.encode_name for field in msgspec.structs.fields(type_)]

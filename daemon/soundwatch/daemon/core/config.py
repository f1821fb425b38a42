"""Configuration: its keys, types and defaults, and the YAML reader.

Conventions: units are in the keys; every key has a default, so an empty file is a configuration.
The example `config.yaml` at the top of the repository shows every key with its default and reason.
Does not: configure the front end. The model's contract defines it, and `check_against_contract` refuses contradictions.
"""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import yaml

from soundwatch.daemon.core.channels import ChannelSelection
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.redact import check_address

LONGEST_BYTES: Final = 1 << 20
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
    """

    device: str | int = "default"
    channels: Annotated[int, msgspec.Meta(ge=1, le=64)] | ChannelSelection | None = None
    pcm: str = "s16le,44100,1"


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
    sources: dict[str, SourceConfig] = msgspec.field(default_factory=lambda: {"mic0": SourceConfig()})
    model: ModelConfig = ModelConfig()
    shadow: ShadowConfig = ShadowConfig()
    detection: DetectionConfig = DetectionConfig()
    stats_s: Annotated[float, msgspec.Meta(ge=1)] | None = 3600.0
    journal: JournalConfig = JournalConfig()
    clips: ClipsConfig = ClipsConfig()
    sinks: tuple[str | dict[str, str | int | float | bool | None], ...] = ("json",)
    log: LogConfig = LogConfig()


def node_name(config: Config) -> str:
    """Return the name of this machine in events."""
    return config.node or socket.gethostname()


def load_config(path: Path | None) -> Config:
    """Read a YAML file; None gives the defaults.

    Raises:
        ConfigError: The file cannot be read, is not YAML, has an unknown key, or a value out of range.
    """
    if path is None:
        return Config()
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Give the path of a YAML file.") from error
    if len(content) > LONGEST_BYTES:
        raise ConfigError(f"{path} is longer than {LONGEST_BYTES} bytes. Give the path of a configuration file.")
    tree = parse_yaml(content, str(path))
    try:
        config = msgspec.convert({} if tree is None else tree, Config)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(f"{path}: {_explain(str(error))}") from error
    _check_text(config, path)
    for name, source in config.sources.items():
        if "://" in str(source.device):
            check_address(str(source.device), f"{path}: sources.{name}.device")
    if config.detection.calibration is None:
        return config
    beside = str(path.parent / config.detection.calibration)
    return msgspec.structs.replace(config, detection=msgspec.structs.replace(config.detection, calibration=beside))


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML loader that refuses a repeated key, of which YAML would keep the last value only."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.YAMLError(f"the key {key.value!r} appears twice, line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(content: bytes, where: str) -> Any:
    """Parse YAML.

    Args:
        content: Bytes of the file.
        where: Name of the file, for the message.

    Raises:
        ConfigError: The content is not YAML in UTF-8.
    """
    try:
        loader = _UniqueKeyLoader(content.decode("utf-8-sig"))
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a date of month 13 is a ValueError of the parser
        raise ConfigError(f"{where} is not YAML: {' '.join(str(error).split())}") from error


def _check_text(config: Config, path: Path) -> None:
    """Refuse characters that neither a path nor a JSON line can hold."""
    for value in _texts(msgspec.to_builtins(config)):
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise ConfigError(f"{path}: {value!r} contains a character that names cannot contain. Remove it.")


def check_against_contract(config: Config, contract: ModelContract) -> None:
    """Refuse a configuration that does not fit a model.

    Raises:
        ConfigError: A configured class is not a class of the model.
    """
    for label in config.detection.classes:
        if label not in contract.labels:
            near = difflib.get_close_matches(label, contract.labels, n=1)
            raise ConfigError(
                f"detection.classes.{label}: the model {contract.identity} has no such class"
                + (f"; did you mean {near[0]}?" if near else ".")
                + f" Its classes are {', '.join(contract.labels)}."
            )


def _texts(tree: Any) -> Iterator[str]:
    """Yield every string of a tree, keys included."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, dict):
        for item in (*tree, *tree.values()):
            yield from _texts(item)
    elif isinstance(tree, list | tuple):
        for item in tree:
            yield from _texts(item)


def _explain(message: str) -> str:
    """Return msgspec's message, with the nearest known key for an unknown one, or how to write text."""
    if re.match(r"Expected `[^`]*\bstr\b[^`]*`, got `(bool|int|float|null)`", message):
        return (
            f"{message.replace('`$.', '`')}. YAML reads words such as no, on, off and yes, and numbers, as other types "
            'than text; put the text in quotes, such as "no" or "1".'
        )
    unknown = re.search(r"unknown field `([^`]*)`(?: - at `\$\.?([^`]*)`)?", message)
    if unknown is None:
        return message.replace("`$.", "`") + "."
    key, where = unknown[1], unknown[2] or ""
    known = _keys_at(where)
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"`{where + '.' if where else ''}{key}` is not a key; {hint}Known keys: {', '.join(known)}."


def _keys_at(where: str) -> list[str]:
    """List the known keys at a path such as `sources[...]` or `detection.classes[...]`."""
    type_: Any = Config
    for part in re.findall(r"\[\.\.\.\]|[^.\[]+", where):
        if part == "[...]":
            type_ = type_.__args__[1]
        else:
            type_ = next(f.type for f in msgspec.structs.fields(type_) if f.encode_name == part)
    return [field.encode_name for field in msgspec.structs.fields(type_)]

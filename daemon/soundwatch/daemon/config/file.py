"""The reader of the configuration file.

Conventions: a message names the file and the key, what was seen, and the nearest known key.
Does not: define the keys (`config.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.faults import explain, yaml_fault
from soundwatch.daemon.config.schedule import check_schedules
from soundwatch.daemon.config.source import SourceClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.network.redact import check_address, redact_sink
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.text.printable import invisible_character
from soundwatch.daemon.core.time.system_zone import check_system_zone

LONGEST_BYTES: Final = 1 << 20
_LEADING_ZERO: Final = re.compile("[-+]?0[0-9]+")


def load_config(path: Path | None) -> Config:
    """Read a YAML file; None gives the defaults.

    Raises:
        ConfigError: The file cannot be read, is not YAML, has an unknown key, or a value out of range; or times of day
            are those of the system, whose time zone is unknown.
    """
    if path is not None:
        return parse_config(read_config(path), path)
    check_system_zone()
    return Config()


def read_config(path: Path) -> bytes:
    """Read the content of a configuration file: once, since a pipe gives it only once.

    Raises:
        ConfigError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Give the path of a YAML file.") from error


def check_rereadable(path: Path | None) -> None:
    """Refuse a configuration that can be read only once: a pipe would give nothing, or let the program wait for ever.

    Raises:
        ConfigError: The path is a pipe or a device.
    """
    if path is not None and (path.is_fifo() or path.is_char_device()):
        raise ConfigError(
            f"{path} is a pipe or a device, which cannot be read again. Restart the program, or start it with a file."
        )


def parse_config(content: bytes, path: Path) -> Config:
    """Parse the content of a configuration file.

    Args:
        content: Bytes of the file.
        path: Path of the file, for messages and for the paths of calibrations.

    Raises:
        ConfigError: The content is too long, is not YAML, has an unknown key, or a value out of range; or times of day
            are those of the system, whose time zone is unknown.
    """
    if len(content) > LONGEST_BYTES:
        raise ConfigError(f"{path} is longer than {LONGEST_BYTES} bytes. Give the path of a configuration file.")
    tree = parse_yaml(content, str(path))
    try:
        config = msgspec.convert({} if tree is None else tree, Config)
    except (msgspec.ValidationError, RecursionError) as error:
        reason = explain(str(error), tree)
        raise ConfigError(Sentence("{path}: {reason}", path=str(path), reason=reason)) from error
    _check_text(config, path)
    _check_names(config, path)
    if config.place.time_zone is None:
        check_system_zone()
    for name, source in config.sources.items():
        if "://" in str(source.device):
            check_address(str(source.device), f"{path}: sources.{name}.device")
    check_schedules(config.schedules, config.sources, config.rules, config.place)
    return _with_calibrations_beside(config, path.parent)


def _with_calibrations_beside(config: Config, folder: Path) -> Config:
    """Return a configuration with its calibrations relative to the folder of its file."""
    replace = msgspec.structs.replace
    detection, sources = config.detection, dict(config.sources)
    if detection.calibration is not None:
        detection = replace(detection, calibration=str(folder / detection.calibration))
    for name, source in sources.items():
        if isinstance(source.detection.calibration, str):
            own = replace(source.detection, calibration=str(folder / source.detection.calibration))
            sources[name] = replace(source, detection=own)
    return replace(config, detection=detection, sources=sources)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML loader that refuses a repeated key, of which YAML would keep the last value only.

    Numbers are those that a person reads, not those of YAML 1.1: 22:00 is text, not the number 1320, and 0777 is
    refused, not the number 511.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct a value, and name the line of one that is not of its type: a date of month 13, `!!bool maybe`."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError) as error:
            reason = str(error) if isinstance(error, ValueError) else f"the value is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, reason, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if isinstance(key, yaml.ScalarNode):  # `<<` too
                if key.value in seen:
                    raise yaml.YAMLError(f"the key {key.value!r} appears twice, line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> Any:
        if ":" in node.value:
            return node.value
        number, digits = super().construct_yaml_int(node), node.value.replace("_", "")
        if _LEADING_ZERO.fullmatch(digits) and number != int(digits):
            raise ValueError(
                f"{node.value} begins with a zero, which makes it an octal number in YAML, {number}; "
                f"write {int(digits)}, or a text in quotes"
            )
        return number

    def construct_yaml_float(self, node: yaml.ScalarNode) -> Any:
        return node.value if ":" in node.value else super().construct_yaml_float(node)


_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:int", _UniqueKeyLoader.construct_yaml_int)
_UniqueKeyLoader.add_constructor("tag:yaml.org,2002:float", _UniqueKeyLoader.construct_yaml_float)


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
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:  # "\\U00110000" is a ValueError
        raise ConfigError(f"{where} is not YAML: {yaml_fault(error, content)}") from error


def _check_text(config: Config, path: Path) -> None:
    """Refuse characters that neither a path nor a JSON line can hold."""
    for value in _texts(msgspec.to_builtins(config)):
        if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value):
            raise ConfigError(
                f"{path}: {redact_sink(value)!r} contains a character that names cannot contain. Remove it."
            )


def _check_names(config: Config, path: Path) -> None:
    """Refuse a node, a source, a schedule or a rule without a visible name, or with characters that nobody sees."""
    if config.node:
        _check_name("node", config.node, path)
    for key, names in (("sources", config.sources), ("schedules", config.schedules), ("rules", config.rules)):
        for name in names:
            _check_name(key, name, path)


def _check_name(key: str, name: str, path: Path) -> None:
    if not name.strip():
        raise ConfigError(f"{path}: {key}: the name {name!r} is empty. Write one.")
    if character := invisible_character(name):
        raise ConfigError(
            f"{path}: {key}: the name {name!r} has the character U+{ord(character):04X}, which nobody sees. Remove it."
        )


def check_against_contract(config: Config, contract: ModelContract) -> None:
    """Refuse a configuration that does not fit a model.

    Raises:
        ConfigError: A configured class is not a class of the model.
    """
    for key, labels in _named_classes(config):
        for label in labels:
            if label not in contract.labels:
                raise ConfigError(
                    f"{key}.{label}: the model {contract.identity} has no such class; "
                    f"{did_you_mean(label, contract.labels)}its classes are {', '.join(contract.labels)}."
                )


def _named_classes(config: Config) -> Iterator[tuple[str, Iterable[str]]]:
    """Yield each key that names classes, and the classes."""
    yield "detection.classes", config.detection.classes
    for name, source in config.sources.items():
        yield f"sources.{name}.detection.classes", source.detection.classes
        if isinstance(source.clips, SourceClipsConfig):
            yield f"sources.{name}.clips.classes", source.clips.classes or ()
    for name, schedule in config.schedules.items():
        if schedule.then.thresholds is not None:
            yield f"schedules.{name}.then.thresholds.classes", schedule.then.thresholds.classes


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

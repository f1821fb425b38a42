"""Names of sources that the command line gives as devices, and of recordings.

Conventions: a name is the shortest one of its device that no other source has: a recording's stem, or as many of its
folders as needed; an address's host, then its port, its path, its query without secrets. Names never hold a secret.
Rule: two sources never share a name; a device that is given twice is refused.
Does not: name sources of the configuration, whose keys are their names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from soundwatch.daemon.capture.name_candidates import path_names
from soundwatch.daemon.capture.source_kinds import locate_device, source_kind
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.network.redact import check_address, redact_url


def name_devices(devices: Sequence[str], configured: Mapping[str, SourceConfig]) -> dict[str, SourceConfig]:
    """Return the named sources: those of the configuration by their keys, others by names made of their devices.

    Args:
        devices: Keys of the configuration, or devices.
        configured: Sources of the configuration.

    Raises:
        ConfigError: A device is given twice, or an address is ambiguous.
    """
    repeated = [device for device, count in Counter(devices).items() if count > 1]
    if repeated:
        raise ConfigError(
            f"--device {redact_url(repeated[0])} is given {devices.count(repeated[0])} times; give each device once."
        )
    for device in devices:
        if "://" in device:
            check_address(device, "--device")
    unnamed = [device for device in devices if device not in configured]
    located = {device: str(locate_device(device)) for device in unnamed}
    candidates = [source_kind(device).event_names(device) for device in located.values()]
    names = dict(zip(unnamed, _unique_names(candidates, set(devices) & configured.keys()), strict=True))
    return {
        names.get(device, device): SourceConfig(device=located[device]) if device in located else configured[device]
        for device in devices
    }


def locate_sources(sources: Mapping[str, SourceConfig]) -> dict[str, SourceConfig]:
    """Return the sources with the devices of `locate_device`, so that the kind of each is found once."""
    return {
        name: msgspec.structs.replace(source, device=locate_device(source.device)) for name, source in sources.items()
    }


def name_recordings(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a name for each recording: its stem, or as much of its path as no other recording shares.

    Args:
        paths: Each path once.
    """
    counts = Counter(path.stem for path in paths)
    names = {path: path.stem for path in paths}
    shared = [path for path in paths if counts[path.stem] > 1]
    unique = _unique_names(
        [path_names(path) for path in shared], {stem for stem, count in counts.items() if count == 1}
    )
    return names | dict(zip(shared, unique, strict=True))


def _unique_names(candidates: Sequence[tuple[str, ...]], taken: set[str]) -> list[str]:
    """Choose the first candidate of each source that neither another source nor `taken` has."""
    chosen = [0] * len(candidates)
    while True:
        names = [options[min(level, len(options) - 1)] for options, level in zip(candidates, chosen, strict=True)]
        counts = Counter(names)
        clashing = [
            place
            for place, name in enumerate(names)
            if (counts[name] > 1 or name in taken) and chosen[place] + 1 < len(candidates[place])
        ]
        if not clashing:
            return _numbered(names, taken)
        for place in clashing:
            chosen[place] += 1


def _numbered(names: Sequence[str], taken: set[str]) -> list[str]:
    """Number names that are still equal, such as those of two addresses that differ in a secret only."""
    used, unique = set(taken), list[str]()
    for name in names:
        number, candidate = 1, name
        while candidate in used or (candidate != name and candidate in names):
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate)
        unique.append(candidate)
    return unique

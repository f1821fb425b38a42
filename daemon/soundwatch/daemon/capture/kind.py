"""One kind of source: how to recognize a device, name it, check it, open it, and whether its sound is encrypted.

Does not: list the kinds (`source_kinds.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.certificates import CHECKED
from soundwatch.daemon.core.files.paths import literal_path
from soundwatch.daemon.core.records.source import LiveSource, Source


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """Parameters of a source.

    Attributes:
        name: Name in events.
        device: Text of `device`, or a microphone's index.
        channels: Number of channels to open; None for the device's own, two at most.
        pcm: Format of raw samples.
        wait: Wait for an absent device instead of failing.
        certificate: Check of a server's certificate (`capture/streams/certificates.py`).
        least_channels: Number of channels that the selection of channels needs.
    """

    name: str
    device: str | int
    channels: int | None
    pcm: PcmFormat
    wait: bool = True
    certificate: str = CHECKED
    least_channels: int = 1

    @property
    def path(self) -> Path:
        """The device as a path."""
        return literal_path(str(self.device))


@dataclass(frozen=True, slots=True)
class SourceKind:
    """One kind of source.

    Attributes:
        name: Name of the kind.
        matches: True if a device is of this kind.
        open: Opens a source that ends at its first loss.
        open_live: Opens a source that is reopened after each loss.
        event_names: Names for events of a device that the configuration does not name, from short to unique.
        encrypted: True if the sound of a device is encrypted on its network; None if it passes no network.
        check: Refuses a malformed device, without opening it; None where all may be opened.
    """

    name: str
    matches: Callable[[str | int], bool]
    open: Callable[[SourceRequest], Source]
    open_live: Callable[[SourceRequest], LiveSource]
    event_names: Callable[[str], tuple[str, ...]]
    encrypted: Callable[[str], bool] | None = None
    check: Callable[[str], object] | None = None

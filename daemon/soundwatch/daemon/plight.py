"""What becomes of a live source: it is waited for, lost, and back.

Conventions: as in `types.py`. Nanoseconds, since while a source is away it has no samples to count in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from soundwatch.daemon.types import Block, SourceInfo

SourceState = Literal["waiting", "lost", "back"]
SourceReason = Literal["absent", "ended", "stalled"]


@dataclass(frozen=True, slots=True)
class Plight:
    """What has become of a source that is opened again whenever it is lost.

    Attributes:
        state: waiting where it was not there from the start, lost, or back.
        reason: It is not there, has ended, or delivers nothing though it has not ended.
        detail: The same as a sentence for people.
        away_ns: How long it has not been heard.
        missed_ns: How much of its sound is lost by that; once it is back a `Gap` tells of the same.
        start_unix_ns: UTC of sample 0 as it has to be from now on for later samples to have the right time.
    """

    state: SourceState
    reason: SourceReason
    detail: str
    away_ns: int = 0
    missed_ns: int = 0
    start_unix_ns: int | None = None


class LiveSource(Protocol):
    """The same, but one that may outlast its loss and then says so among its blocks. Every `Source` is one."""

    @property
    def info(self) -> SourceInfo:
        """As of a `Source`; until the first block its rate and channels may be 0."""

    @property
    def start_unix_ns(self) -> int:
        """As of a `Source`."""

    def blocks(self) -> Iterator[Block | Plight]:
        """As of a `Source`; a block without samples only tells of a loss."""

    def stop(self) -> None:
        """As of a `Source`."""

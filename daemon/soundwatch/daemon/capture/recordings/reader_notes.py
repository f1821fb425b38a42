"""Sentences about what a reader found in a file and is no error.

Conventions: the first sentence of a kind is kept. Places are in seconds of the sound that was read.
Does not: find anything (`capture/recordings/sndfile_reader.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from soundwatch.daemon.capture.recordings.findings import FindingKind

_AGAIN: Final = "Copy the file again."


class ReaderNotes(dict[FindingKind, str]):
    """Sentences by kind of finding."""

    def gap(self, at_s: float, gap_bytes: int) -> None:
        """Note bytes between frames of MPEG audio."""
        self["damaged"] = (
            f"it is damaged after {at_s:.3f} s: {gap_bytes} bytes are no MPEG audio and were left out. {_AGAIN}"
        )

    def decoder_messages(self, at_s: float, messages: Sequence[str]) -> None:
        """Note that mpg123 complained of a frame, whose sound then is silence or noise."""
        if messages:
            self._damaged(f"after {at_s:.3f} s: a frame of MPEG audio does not decode rightly")

    def undecoded(self, at_s: float, lost_s: float) -> None:
        """Note a place whose sound does not decode, and that sound follows."""
        self._damaged(f"after {at_s:.3f} s: {lost_s:.3f} s of sound do not decode and were left out")

    def part_damage(self, damage: str) -> None:
        """Note the damage of a part, if there is any."""
        if damage:
            self._damaged(f"in places: {damage}, and their sound is lost")

    def changed(self, sentence: str) -> None:
        """Note what another program did to the file while it was read, if anything."""
        if sentence:
            self["changed while read"] = sentence

    def longer(self, declared_s: float, read_s: float) -> None:
        """Note a header that declares less than was read."""
        self["longer than declared"] = (
            f"it is longer than its header declares: {declared_s:.3f} s are declared, "
            f"{read_s:.3f} s are there, and all of it was read."
        )

    def shorter(self, declared_s: float, read_s: float) -> None:
        """Note a header whose estimate is more than was read."""
        self["shorter than estimated"] = (
            f"it is shorter than its header estimates: {declared_s:.3f} s are declared, {read_s:.3f} s are there. If "
            "it was cut off, copy it again."
        )

    def _damaged(self, reason: str) -> None:
        self.setdefault("damaged", f"it is damaged {reason}. {_AGAIN}")

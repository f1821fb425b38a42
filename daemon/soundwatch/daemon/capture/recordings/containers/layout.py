"""One part of an audio file: the range of its bytes, and the header to decode it with."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """One stream within a file.

    Attributes:
        start: Offset in bytes of the first byte after `header`.
        end: Offset in bytes after the last byte.
        header: Bytes that stand for the file's own header; empty if the header lies in the range.
        declared_bytes: Length of the sound in the file's header; None if the header has none.
        declared_samples: The length in samples.
        endless_header: Header without a length, for sound that continues after `declared_samples`.
        estimated: True if the decoder's count of samples is an estimate.
        gap_bytes: Number of bytes before the part that are no sound of the format, and no tag.
        first_sample: Number of the part's first sample in its stream, after damage.
        damage: Sound that is missing within the part, as the end of a sentence; empty if nothing is known of.
    """

    start: int
    end: int
    header: bytes = b""
    declared_bytes: int | None = None
    declared_samples: int | None = None
    endless_header: bytes = b""
    estimated: bool = False
    gap_bytes: int = 0
    first_sample: int = 0
    damage: str = ""

    @property
    def size_bytes(self) -> int:
        """Length of the range."""
        return self.end - self.start

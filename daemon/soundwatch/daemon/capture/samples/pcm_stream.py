"""A stream of raw samples that arrives in pieces of any size.

Conventions: a piece may end inside a frame. A header at the beginning is left out (`capture/samples/raw_header.py`).
Does not: read the pieces, or check the samples' values (`capture/samples/validate.py`).
"""

from __future__ import annotations

from soundwatch.daemon.capture.samples.pcm_format import PcmFormat, decode_pcm
from soundwatch.daemon.capture.samples.raw_header import header_bytes
from soundwatch.daemon.core.records.block import Samples, read_only


class PcmStream:
    """The bytes that were received and are no whole frame yet.

    Args:
        pcm: Format of the samples.
        description: Subject of an error about the header.
        datagrams: True if each piece holds whole frames, so that other bytes at its end are dropped.

    Attributes:
        rest: The bytes.
    """

    def __init__(self, pcm: PcmFormat, description: str, *, datagrams: bool = False) -> None:
        self.rest = b""
        self._pcm = pcm
        self._description = description
        self._datagrams = datagrams
        self._has_begun = False

    def decode(self, data: bytes) -> Samples:
        """Add a piece, and return the frames that are whole now as samples (C, S), S 0 if there is none.

        Raises:
            SourceError: The stream begins with the header of another format.
        """
        self.rest += data
        begin = 0 if self._has_begun else header_bytes(self.rest, self._pcm, self._description)
        if begin is None:
            return read_only(decode_pcm(b"", self._pcm))
        end = len(self.rest) - (len(self.rest) - begin) % self._pcm.frame_bytes
        samples = read_only(decode_pcm(self.rest[begin:end], self._pcm))
        self.rest = b"" if self._datagrams else self.rest[end:]
        self._has_begun = self._has_begun or end > begin
        return samples

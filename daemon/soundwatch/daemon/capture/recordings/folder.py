"""A folder of recordings as one live source: one after the other, by name, in real time.

Conventions: all recordings form one stream with the first one's channels; its rate changes with the recording. Between
two recordings one sample is counted as lost, so that no window with sound of both is complete. A recording that
cannot be read is reported as a loss, which the next one ends.
Does not: notice recordings that are added later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from soundwatch.daemon.capture.recordings.recording import Recording, recordings_in
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.channels import match_channels
from soundwatch.daemon.core.records.source import SourceInfo, SourceStateChange


class Folder:
    """The recordings in a folder and its subfolders.

    Args:
        name: The source's name in events.
        path: The folder.

    Raises:
        SourceError: The folder contains no recording that can be read.
    """

    def __init__(self, name: str, path: Path) -> None:
        under = recordings_in(path)
        found, left_out = under.files, under.left_out
        if not found:
            nothing = f"{path} contains no recording; WAV, FLAC, Ogg, MP3 or AIFF files were expected."
            raise SourceError(" ".join([nothing, *left_out]))
        errors, self._recording, self._later = _first_readable(name, found)
        self._errors = [*map(SourceError, left_out), *errors]
        self.info: SourceInfo = replace(self._recording.info, description=str(path))
        self.start_unix_ns = 0
        self._stopped = False

    @property
    def recording(self) -> Recording:
        """The recording that was opened last."""
        return self._recording

    def blocks(self) -> Iterator[Block | SourceStateChange]:
        """Yield blocks until the last recording's end or `stop`, and a notice for each unreadable recording."""
        end_sample, rate_hz, broken = 0, self.info.rate_hz, False
        for recording in self._recordings():
            if isinstance(recording, SourceError):
                yield SourceStateChange("lost", "ended", str(recording))
                broken = True
                continue
            joint = int(end_sample > 0)
            offset = end_sample * recording.info.rate_hz // rate_hz + joint
            rate_hz = recording.info.rate_hz
            try:
                for block in recording.blocks():
                    self.start_unix_ns = self.start_unix_ns or recording.start_unix_ns
                    samples, lost_samples = match_channels(block.samples, self.info.channels), joint
                    yield Block(samples, rate_hz, offset + block.first_sample, lost_samples)
                    end_sample, joint = offset + block.first_sample + samples.shape[1], 0
                    if broken:
                        yield SourceStateChange("back", "ended", f"{recording.info.description} is readable.")
                        broken = False
            except SourceError as error:
                yield SourceStateChange("lost", "ended", str(error))
                broken = True

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        self._recording.stop()

    def _recordings(self) -> Iterator[Recording | SourceError]:
        """Yield the errors before the first recording; then open the recordings in order, or yield their errors."""
        yield from self._errors
        yield self._recording
        for path in self._later:
            if self._stopped:
                return
            try:
                self._recording = Recording(self.info.name, path, measure=True)
            except SourceError as error:
                yield error
                continue
            except StoppedError:
                return
            self._stop_new_recording()
            yield self._recording

    def _stop_new_recording(self) -> None:
        """Stop a recording that was being opened during `stop`."""
        if self._stopped:
            self._recording.stop()


def _first_readable(name: str, paths: Sequence[Path]) -> tuple[list[SourceError], Recording, Sequence[Path]]:
    """Open the first recording that can be read.

    Returns:
        The errors of those before it, the recording, and the paths after it.

    Raises:
        SourceError: None can be read; the error of the first.
    """
    errors: list[SourceError] = []
    for number, path in enumerate(paths):
        try:
            return errors, Recording(name, path, measure=True), paths[number + 1 :]
        except SourceError as error:
            errors.append(error)
    raise errors[0]

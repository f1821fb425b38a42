"""Findings about recordings that `run` listens to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.monitoring.monitor import MonitoredSource
from soundwatch.daemon.capture.monitoring.source_wrapper import SourceWrapper
from soundwatch.daemon.capture.recordings.findings import log_findings
from soundwatch.daemon.capture.recordings.folder import Folder
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import LiveSource, SourceNotice


class ReportedRecordings(SourceWrapper):
    """A source of recordings, the findings about each of which are logged at its end, as in `replay`.

    Args:
        source: The source, whose notices are passed on.
        current: Returns the recording that was opened last.
        model_channels: C of the model.
        log: Receives the findings.
    """

    def __init__(self, source: LiveSource, current: Callable[[], Recording], model_channels: int, log: Logger) -> None:
        super().__init__(source)
        self._current = current
        self._model_channels = model_channels
        self._log = log
        self._stopped = False

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Yield the source's blocks and notices, and log the findings after each recording, unless `stop` ended it.

        Raises:
            SourceError: As for the source.
        """
        recording = self._current()
        for item in self._source.blocks():
            if self._current() is not recording:
                self._report(recording)
                recording = self._current()
            yield item
        if not self._stopped:
            self._report(recording)

    def _report(self, recording: Recording) -> None:
        log_findings(recording.findings(), recording.path, self._model_channels, self._log)

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        super().stop()


def report_recording(source: LiveSource, model_channels: int, log: Logger) -> LiveSource:
    """Return the source, with reports if it is a recording or a folder of them."""
    match source.source if isinstance(source, MonitoredSource) else None:
        case Recording() as recording:
            return ReportedRecordings(source, lambda: recording, model_channels, log)
        case Folder() as folder:
            return ReportedRecordings(source, lambda: folder.recording, model_channels, log)
        case _:
            return source

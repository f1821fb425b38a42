"""Findings about a recording that `run` listens to."""

from __future__ import annotations

from collections.abc import Iterator

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.monitoring.monitor import MonitoredSource
from soundwatch.daemon.capture.monitoring.source_wrapper import SourceWrapper
from soundwatch.daemon.capture.recordings.findings import log_findings
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import LiveSource, SourceNotice


class ReportedRecording(SourceWrapper):
    """A recording whose findings are logged at its end, as in `replay`.

    Args:
        source: The source, whose notices are passed on.
        recording: The recording behind it.
        model_channels: C of the model.
        log: Receives the findings.
    """

    def __init__(self, source: LiveSource, recording: Recording, model_channels: int, log: Logger) -> None:
        super().__init__(source)
        self._recording = recording
        self._model_channels = model_channels
        self._log = log
        self._stopped = False

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Yield the source's blocks and notices, and log the findings after the last, unless `stop` ended them.

        Raises:
            SourceError: As for the source.
        """
        yield from self._source.blocks()
        if not self._stopped:
            log_findings(self._recording.findings(), self._recording.path, self._model_channels, self._log)

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        super().stop()


def report_recording(source: LiveSource, model_channels: int, log: Logger) -> LiveSource:
    """Return the source, with a report at its end if it is a recording."""
    if isinstance(source, MonitoredSource) and isinstance(source.source, Recording):
        return ReportedRecording(source, source.source, model_channels, log)
    return source

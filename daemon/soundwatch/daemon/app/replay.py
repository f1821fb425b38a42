"""Replay of recordings through the engine, faster than real time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from soundwatch.daemon.app.build import build_replay
from soundwatch.daemon.app.lifecycle import Lifecycle
from soundwatch.daemon.capture import Recording, recordings_in
from soundwatch.daemon.capture.recordings.findings import log_findings
from soundwatch.daemon.capture.source_names import name_recordings
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.files.paths import is_folder
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.system.signals import stop_on_signals


def replay(config: Config, paths: Sequence[Path], start_unix_ns: int, log: Logger) -> None:
    """Run recordings, and folders of them, through the pipeline one by one, faster than real time.

    Raises:
        SoundwatchError: A recording or the model cannot be used, or a line could not be written.
    """
    folders = {path: recordings_in(path) for path in paths if is_folder(path)}
    found = [file for path in paths for file in (folders[path].files if path in folders else ()) or [path]]
    recordings = list({os.path.abspath(file): file for file in found}.values())  # noqa: PTH100  # resolve() follows links
    names = name_recordings(recordings)
    context, writer = build_replay(config, log)
    failures = [SourceError(sentence) for under in folders.values() for sentence in under.left_out]
    for failure in failures:
        log.error("recording_failed", error=str(failure))
    lifecycle = Lifecycle()
    with contextlib.closing(writer), stop_on_signals(lifecycle.stop):
        for path in recordings:
            try:
                recording = Recording(names[path], path, "fast", start_unix_ns, measure=True)
                lifecycle.add(recording).replay(context)
                log_findings(recording.findings(), path, context.classifier.contract.features.channels, log)
            except SourceError as error:
                log.error("recording_failed", file=str(path), error=str(error))
                failures.append(error)
            except StoppedError:  # the loop ends below
                pass
            writer.report_losses()
            if lifecycle.stopping:
                break
    if failures:
        raise failures[0]

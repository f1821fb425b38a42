"""Build the recorder, the writer and the guards of clips.

Conventions: a wrong configuration is refused here, before the first block.
"""

from __future__ import annotations

import contextlib

import msgspec

from soundwatch.daemon.clips.clip_store import ClipStore
from soundwatch.daemon.clips.picture import check_pillow
from soundwatch.daemon.clips.recorder import ClipRecorder
from soundwatch.daemon.clips.speech_guard import GUARD_MODEL, SpeechGuard, build_guard
from soundwatch.daemon.clips.writer import ClipWriter
from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.paths import expand_path
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.inference.classifier import load_classifier_file


def check_clips(config: ClipsConfig, *, needs_guard: bool) -> None:
    """Check that clips can be made; their folder is not opened.

    Args:
        config: Common settings of clips.
        needs_guard: Whether a source checks its clips for speech.

    Raises:
        ConfigError: The guard has no label for speech, or Pillow is not installed.
        ModelError: The model of the guard cannot be opened.
    """
    if config.pictures:
        check_pillow()
    if needs_guard:
        _load_guard(config)


def build_clips(
    config: ClipsConfig, context: EngineContext, log: Logger, *, needs_guard: bool
) -> tuple[ClipRecorder, contextlib.AbstractContextManager[ClipWriter]]:
    """Build the recorder, and the writer as a context manager that finishes the queue.

    Args:
        config: Common settings of clips.
        context: Dependencies of the engine, with the settings of each source.
        log: The log.
        needs_guard: Whether a source checks its clips for speech.

    Raises:
        ConfigError: The folder cannot be used, the guard has no label for speech, or Pillow is not installed.
        ModelError: The model of the guard cannot be opened.
    """
    folder = clips_folder(config)
    assert folder is not None
    if config.pictures:
        check_pillow()
    store = ClipStore(folder, config)
    guarded = msgspec.structs.replace(config, speech_guard=config.speech_guard or needs_guard)
    guards = build_guards(guarded, context.classifier)
    writer = ClipWriter(store, guards, context.node, context.journal, log, pictures=config.pictures)
    recorder = ClipRecorder(config, context.classifier.contract.features.rate_hz, writer.submit, writer.pending)
    recorder.configure(context.sources)
    return recorder, contextlib.closing(writer)


def build_guards(config: ClipsConfig, detector: Classifier) -> list[SpeechGuard]:
    """Build the guards: the shipped or the configured model, and the detection model if it has a label for speech.

    Raises:
        ConfigError: The configured model has no label for speech.
        ModelError: The configured model cannot be opened.
    """
    if config.speech_guard is False:
        return []
    own = build_guard(detector)
    return [_load_guard(config), *([own] if own is not None else [])]


def _load_guard(config: ClipsConfig) -> SpeechGuard:
    """Load the configured model, or the shipped one where none is configured."""
    path = GUARD_MODEL if isinstance(config.speech_guard, bool) else expand_path(config.speech_guard)
    named = build_guard(load_classifier_file(path, "cpu"))
    if named is None:
        raise ConfigError(
            f"clips.speech_guard: the model {path} has no label for speech. Name another model, or give true "
            "for the one that ships, or false for none."
        )
    return named

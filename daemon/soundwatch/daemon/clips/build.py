"""Puts together what makes clips.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from soundwatch.daemon.clips.clip_store import ClipStore
from soundwatch.daemon.clips.recorder import ClipRecorder
from soundwatch.daemon.clips.speech_guard import GUARD_MODEL, SpeechGuard, build_guard
from soundwatch.daemon.clips.writer import ClipWriter
from soundwatch.daemon.core.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.types import Classifier
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.inference.classifier import load_classifier_file


def build_clips(
    config: ClipsConfig, context: EngineContext, log: Logger
) -> tuple[ClipRecorder, contextlib.AbstractContextManager[ClipWriter]]:
    """What keeps sound for clips, and what writes them until its end.

    Raises:
        ConfigError: The folder cannot be used, or the guard has no label that means speech.
        ModelError: The guard's model cannot be opened.
    """
    assert config.folder is not None
    shelf = ClipStore(Path(config.folder).expanduser(), config)
    writer = ClipWriter(shelf, build_guards(config, context.classifier), context.node, context.journal, log)
    recorder = ClipRecorder(config, context.classifier.contract.features.rate_hz, writer.take)
    return recorder, contextlib.closing(writer)


def build_guards(config: ClipsConfig, listening: Classifier) -> list[SpeechGuard]:
    """What may refuse a clip: the shipped guard or the one that is named, and the model that listens, if it can.

    Raises:
        ConfigError: The model that is named has no label that means speech.
        ModelError: It cannot be opened.
    """
    if config.speech_guard is False:
        return []
    path = GUARD_MODEL if config.speech_guard is True else Path(config.speech_guard).expanduser()
    named, own = build_guard(load_classifier_file(path, "cpu")), build_guard(listening)
    if named is None:
        raise ConfigError(
            f"clips.speech_guard: the model {path} has no label that means speech. Name another model, or give true "
            "for the one that ships, or false for none."
        )
    return [named, *([own] if own is not None else [])]

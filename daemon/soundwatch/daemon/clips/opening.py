"""Puts together what makes clips.

Conventions: everything that can be refused is refused here, before the first sound is heard.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from soundwatch.daemon.classify import open_classifier
from soundwatch.daemon.clips.guard import GUARD_MODEL, Guard, guard_of
from soundwatch.daemon.clips.recorder import Recorder
from soundwatch.daemon.clips.shelf import Shelf
from soundwatch.daemon.clips.writer import Writer
from soundwatch.daemon.config import ClipsConfig
from soundwatch.daemon.errors import ConfigError
from soundwatch.daemon.listen import Ears
from soundwatch.daemon.types import Classifier


def open_clips(
    config: ClipsConfig, ears: Ears, say: Callable[..., object]
) -> tuple[Recorder, contextlib.AbstractContextManager[Writer]]:
    """What keeps sound for clips, and what writes them until its end.

    Raises:
        ConfigError: The folder cannot be used, or the guard has no label that means speech.
        ModelError: The guard's model cannot be opened.
    """
    assert config.folder is not None
    shelf = Shelf(Path(config.folder).expanduser(), config)
    writer = Writer(shelf, guards_of(config, ears.classifier), ears.node, ears.journal, say)
    recorder = Recorder(config, ears.classifier.contract.features.rate_hz, writer.take)
    return recorder, contextlib.closing(writer)


def guards_of(config: ClipsConfig, listening: Classifier) -> list[Guard]:
    """What may refuse a clip: the shipped guard or the one that is named, and the model that listens, if it can.

    Raises:
        ConfigError: The model that is named has no label that means speech.
        ModelError: It cannot be opened.
    """
    if config.speech_guard is False:
        return []
    path = GUARD_MODEL if config.speech_guard is True else Path(config.speech_guard).expanduser()
    named, own = guard_of(open_classifier(path, "cpu")), guard_of(listening)
    if named is None:
        raise ConfigError(
            f"clips.speech_guard: the model {path} has no label that means speech. Name another model, or give true "
            "for the one that ships, or false for none."
        )
    return [named, *([own] if own is not None else [])]

"""Audio of a planned street.

Conventions: mono at `RATE_HZ`; nothing is clipped. Excerpts of a background, and successive backgrounds, have
equal-power cross-fades.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.training.data.audio.read_audio import Mono
from soundwatch.training.data.audio.unit_clips import RATE_HZ, read_unit
from soundwatch.training.evaluation.streets.busy_street import BACKGROUND_FADE_S, Background, Scene

BLOCK_S: Final = 10


def render_scene(scene: Scene) -> Iterator[Block]:
    """Yield the audio of a scene in blocks of `BLOCK_S`."""
    sound = np.zeros(round(scene.length_s * RATE_HZ), np.float32)
    for background in scene.backgrounds:
        _add(sound, _chain(background), background.start_s, background.level_dbfs)
    for item in scene.foreground:
        level_dbfs = next(b.level_dbfs for b in reversed(scene.backgrounds) if b.start_s <= item.onset_s)
        _add(sound, read_unit(item.path), item.onset_s, level_dbfs + item.level_db)
    for first_sample in range(0, sound.size, BLOCK_S * RATE_HZ):
        part = sound[first_sample : first_sample + BLOCK_S * RATE_HZ]
        yield Block(read_only(part[None].copy()), RATE_HZ, first_sample)


def _chain(background: Background) -> Mono:
    """Join the excerpts of a background with cross-fades, and fade both ends."""
    fade = round(BACKGROUND_FADE_S * RATE_HZ)
    pieces = [_faded(read_unit(path), fade) for path in background.paths]
    chain = np.zeros(sum(piece.size - fade for piece in pieces) + fade, np.float32)
    first = 0
    for piece in pieces:
        chain[first : first + piece.size] += piece
        first += piece.size - fade
    return chain


def _faded(sound: Mono, fade: int) -> Mono:
    """Fade both ends at equal power, after extension to at least two fades."""
    if sound.size < 2 * fade:
        sound = np.resize(sound, 2 * fade)
    angle = np.linspace(0, np.pi / 2, fade, dtype=np.float32)
    faded = sound.copy()
    faded[:fade] *= np.sin(angle)
    faded[-fade:] *= np.cos(angle)
    return faded


def _add(sound: Mono, piece: Mono, onset_s: float, level_dbfs: float) -> None:
    first = round(onset_s * RATE_HZ)
    part = piece[: max(0, sound.size - first)]
    sound[first : first + part.size] += part * np.float32(10 ** (level_dbfs / 20))

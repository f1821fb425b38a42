"""Work that ends whoever does it, in a module that a worker's process can import."""

from __future__ import annotations

import os
import signal

from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask


def die_of_the_second(_: ScoringTask, piece: Chunk) -> ChunkScores:
    """Scores nothing, and kills the process at the second piece of a recording cut at 1,600 windows."""
    if piece.first_window == 1600:
        os.kill(os.getpid(), signal.SIGKILL)
    return ChunkScores(provider="CPUExecutionProvider")

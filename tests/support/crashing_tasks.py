"""A task that crashes its process, in a module that worker processes can import."""

from __future__ import annotations

import os
import signal

from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask


def crash_on_second_chunk(_: ScoringTask, chunk: Chunk) -> ChunkScores:
    """Kill the process at the second chunk of 1,600 windows; return no scores for other chunks."""
    if chunk.first_window == 1600:
        os.kill(os.getpid(), signal.SIGKILL)
    return ChunkScores(provider="CPUExecutionProvider")

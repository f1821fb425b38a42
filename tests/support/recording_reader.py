"""Reading of damaged recordings."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.core.errors import SourceError


def read_until_error(path: Path) -> tuple[int, str]:
    """Return the number of samples before the error, and its message."""
    samples = 0
    with pytest.raises(SourceError) as caught:  # noqa: PT012 -- what comes before it counts
        for block in Recording("file", path, "fast", 0).blocks():
            samples += block.samples.shape[1]
    return samples, str(caught.value)

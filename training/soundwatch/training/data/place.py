"""Place a short signal inside a window."""

from __future__ import annotations

import numpy as np

from soundwatch.daemon.core.types import Samples


def place_first(samples: Samples, window_samples: int) -> Samples:
    """Return the first window of a clip, padded with zeros at the end as in the daemon's window stage."""
    kept = samples[:, :window_samples]
    return np.pad(kept, ((0, 0), (0, window_samples - kept.shape[1])))

"""Place a short signal inside a window."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Number = TypeVar("Number", np.float32, np.int16)


def place_first(samples: NDArray[Number], window_samples: int) -> NDArray[Number]:
    """Return the first window of a clip, padded with zeros at the end as in the daemon's window stage."""
    kept = samples[:, :window_samples]
    return np.pad(kept, ((0, 0), (0, window_samples - kept.shape[1])))

"""How loud a stretch of sound is.

Conventions: dBFS is 20 log10 of the root mean square over all channels, full scale 1.0: a sine of
full amplitude reads -3.01, a square wave 0. Digital silence has no level: None, never 0 or -inf.
"""

from __future__ import annotations

import math

import numpy as np

from soundwatch.daemon.core.types import Window


def level_dbfs(window: Window) -> float | None:
    """Level of the heard part of a window."""
    heard = window.samples[:, : window.heard_samples].ravel()
    power = float(np.dot(heard, heard)) / max(heard.size, 1)
    return 10 * math.log10(power) if power > 0 else None

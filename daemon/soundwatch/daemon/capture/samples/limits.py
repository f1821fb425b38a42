"""Sampling rates and numbers of channels that can be used."""

from __future__ import annotations

from typing import Final

LOWEST_RATE_HZ: Final = 1_000
HIGHEST_RATE_HZ: Final = 384_000
MOST_CHANNELS: Final = 64

"""Spectrogram of a clip as a PNG file, with ticks of time and frequency.

Conventions: columns are times, rows are bands of equal width in mel, the lowest at the bottom. A value is the highest
power of its time and band, averaged over the channels, in decibels under the highest value of the picture; `RANGE_DB`
and more under it is the paper. One byte a pixel: 0 is the paper, 255 the ink, between them the ramp of the page.
Source: O'Shaughnessy's mel, 2595 log10(1 + f / 700 Hz).
Does not: know files (`clip_store.py`) or events. Pillow is imported only to draw.
"""

from __future__ import annotations

import itertools
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.clips.ring_buffer import FULL_SCALE, Frames
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.process.extras import install_command

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

COLUMNS: Final = 880
ROWS: Final = 300
RANGE_DB: Final = 75.0
SPECTRUM_S: Final = 0.046
LOWEST_HZ: Final = 40.0
HIGHEST_HZ: Final = 16_000.0
LEFT, TOP, RIGHT, BOTTOM = 70, 14, 26, 36
FONT_PIXELS: Final = 15
INK: Final = 255
LINE: Final = 120
TICKS_HZ: Final = (125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
STEPS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0)
MOST_TICKS: Final = 10
SILENCE_POWER: Final = 1e-9  # of a spectrum; a square of one step of 16 bits has more
_RAMP: Final = ((0, "f7f6f2"), (64, "c9dfd9"), (128, "5aa796"), (192, "0b6b5d"), (255, "062b2a"))


def check_pillow() -> None:
    """Check that pictures can be drawn.

    Raises:
        ConfigError: The package Pillow is not installed.
    """
    try:
        import PIL.ImageDraw
        import PIL.ImageFont  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            "clips.pictures needs the package Pillow, which is not installed. Install it with "
            f"{install_command('pictures')}, or set it to false."
        ) from error


def spectrogram_png(frames: Frames, rate_hz: int) -> bytes:
    """Draw the spectrogram of a sound.

    Args:
        frames: Samples (S, C).
        rate_hz: Rate of the samples.

    Returns:
        A PNG file.
    """
    from PIL import Image, ImageDraw, ImageFont

    top_hz = min(HIGHEST_HZ, rate_hz / 2)
    size = (LEFT + COLUMNS + RIGHT, TOP + ROWS + BOTTOM)
    picture = Image.new("L", size, 0)
    picture.paste(Image.fromarray(shades(frames, rate_hz)), (LEFT, TOP))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(FONT_PIXELS)
    _draw_axes(draw, font, len(frames) / rate_hz, top_hz)
    picture.putpalette(_palette())
    out = BytesIO()
    picture.save(out, "PNG", optimize=True)
    return out.getvalue()


def shades(frames: Frames, rate_hz: int) -> NDArray[np.uint8]:
    """Return the shade of each pixel (ROWS, COLUMNS) of a sound (S, C), the highest band first."""
    size = 2 ** round(np.log2(SPECTRUM_S * rate_hz))
    window = (np.hanning(size).astype(np.float32) / FULL_SCALE)[:, None]
    padded = np.pad(frames, ((size // 2, size), (0, 0)))
    power = np.empty((size // 2 + 1, COLUMNS), np.float32)
    edges = np.linspace(0, len(frames), COLUMNS + 1).astype(int)
    for column, (begin, end) in enumerate(itertools.pairwise(edges)):
        starts = range(begin, max(end, begin + 1), size // 2)
        spectra = [np.fft.rfft(padded[start : start + size] * window, axis=0) for start in starts]
        power[:, column] = (np.abs(spectra) ** 2).mean(axis=2).max(axis=0)
    bins = _band_edges_hz(min(HIGHEST_HZ, rate_hz / 2)) * size / rate_hz
    lows, highs = bins[:-1].astype(int), np.ceil(bins[1:]).astype(int)
    bands = [power[low : max(high, low + 1)].max(axis=0) for low, high in zip(lows, highs, strict=True)]
    decibels = 10 * np.log10(np.maximum(bands, SILENCE_POWER))  # (ROWS, COLUMNS), the lowest band first
    floor_db = max(decibels.max() - RANGE_DB, 10 * np.log10(SILENCE_POWER))
    shade: NDArray[np.uint8] = np.round((decibels[::-1] - floor_db).clip(0) * (INK / RANGE_DB)).astype(np.uint8)
    return shade


def _mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    return np.asarray(2595 * np.log10(1 + np.asarray(hz) / 700))


def _band_edges_hz(top_hz: float) -> NDArray[np.float64]:
    """Return the edges (ROWS + 1) of the bands, the lowest first."""
    mels = np.linspace(_mel(LOWEST_HZ), _mel(top_hz), ROWS + 1)
    return np.asarray(700 * (10 ** (mels / 2595) - 1))


def _draw_axes(draw: ImageDraw, font: FreeTypeFont | ImageFont, duration_s: float, top_hz: float) -> None:
    bottom = TOP + ROWS
    draw.rectangle((LEFT - 1, TOP - 1, LEFT + COLUMNS, bottom), outline=LINE)
    low, high = float(_mel(LOWEST_HZ)), float(_mel(top_hz))
    next_y = bottom
    for hz in (tick for tick in TICKS_HZ if tick <= top_hz):
        y = bottom - round((float(_mel(hz)) - low) / (high - low) * ROWS)
        if y > next_y:  # its text would be on that of the tick below
            continue
        next_y = y - FONT_PIXELS
        draw.line((LEFT - 6, y, LEFT - 1, y), fill=LINE)
        draw.text((LEFT - 10, y), f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz", INK, font, anchor="rm")
    step_s = next((step for step in STEPS_S if duration_s / step <= MOST_TICKS), STEPS_S[-1])
    for number in range(int(duration_s / step_s) + 1):
        x = LEFT + round(number * step_s / duration_s * COLUMNS)
        draw.line((x, bottom, x, bottom + 5), fill=LINE)
        draw.text((x, bottom + 9), f"{number * step_s:g} s", INK, font, anchor="mt")


def _palette() -> list[int]:
    """Return 256 colors from the paper to the ink, three bytes each."""
    places = [place for place, _ in _RAMP]
    colors = np.array([list(bytes.fromhex(color)) for _, color in _RAMP])
    ramp = [np.interp(np.arange(256), places, colors[:, channel]) for channel in range(3)]
    return [round(value) for color in zip(*ramp, strict=True) for value in color]

"""Synthesis of street sounds for the demo scene.

Conventions: each sound is (S,) float64 of full scale about 1, near and dry; `street_reverb` adds the street.
Random parts use the caller's generator, so that equal seeds give equal sounds.
Source: physical models. A siren is a horn loudspeaker with a sweeping oscillator; a car has
two reed horns a third apart; a breaker's piston strikes a ringing chisel; a bark is a glottal source with formants.
Does not: replace recordings, which all models are trained on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Signal = NDArray[np.float64]


def seconds_of(duration_s: float, rate_hz: int) -> Signal:
    """Return the time in seconds of every sample (S,)."""
    return np.arange(round(duration_s * rate_hz)) / rate_hz


def fade(signal: Signal, rise_s: float, fall_s: float, rate_hz: int) -> Signal:
    """Apply a cosine slope at both ends."""
    rise, fall = (0.5 - 0.5 * np.cos(np.pi * seconds_of(s, rate_hz) / s) for s in (rise_s, fall_s))
    envelope = np.ones_like(signal)
    envelope[: len(rise)] *= rise
    envelope[len(envelope) - len(fall) :] *= fall[::-1]
    return signal * envelope


def convolve(signal: Signal, response: Signal) -> Signal:
    """Filter a signal (S,) with an impulse response, cut to S."""
    size = 1 << (len(signal) + len(response) - 2).bit_length()
    spectrum = np.fft.rfft(signal, size) * np.fft.rfft(response, size)
    return np.asarray(np.fft.irfft(spectrum, size)[: len(signal)])


def shaped_noise(
    size: int, rate_hz: int, slope: float, low_hz: float, high_hz: float, noise: np.random.Generator
) -> Signal:
    """Generate periodic noise of unit power whose amplitude falls as 1 / f**slope between two edges."""
    bins_hz = np.fft.rfftfreq(size, 1 / rate_hz)
    gain = (np.maximum(bins_hz, 1.0) / 1000.0) ** -slope
    gain *= 1 / (1 + (low_hz / np.maximum(bins_hz, 1.0)) ** 4) / (1 + (bins_hz / high_hz) ** 4)
    signal = np.fft.irfft(np.fft.rfft(noise.standard_normal(size)) * gain, size)
    return np.asarray(signal / signal.std())


def filter_rms(response: Signal) -> float:
    """Return the root of a filter's energy."""
    return float(np.sqrt(np.square(response).sum()))


def harmonics(frequency_hz: Signal, levels: Signal, rate_hz: int) -> Signal:
    """Synthesize a tone of changing frequency (S,) with levels of its harmonics, none above half the rate."""
    phase = 2 * np.pi * np.cumsum(frequency_hz) / rate_hz
    tone = np.zeros_like(phase)
    for number, level in enumerate(levels, start=1):
        audible = np.clip((0.45 * rate_hz - number * frequency_hz) / 1000.0, 0.0, 1.0)
        tone += level * audible * np.sin(number * phase)
    return tone


def damped_sines(partials: list[tuple[float, float, float]], duration_s: float, rate_hz: int) -> Signal:
    """Sum damped sines, each (frequency in Hz, decay time in seconds, level)."""
    time_s = seconds_of(duration_s, rate_hz)
    rings = [level * np.exp(-time_s / decay_s) * np.sin(2 * np.pi * hz * time_s) for hz, decay_s, level in partials]
    return np.asarray(np.sum(rings, axis=0))


def street_reverb(signal: Signal, rate_hz: int, wet: float, noise: np.random.Generator) -> Signal:
    """Add the reverberation of a street, with the air's loss of treble."""
    time_s = seconds_of(0.9, rate_hz)
    tail = noise.standard_normal(len(time_s)) * np.exp(-time_s / 0.16)
    dulled = np.fft.irfft(np.fft.rfft(tail) / (1 + np.fft.rfftfreq(len(tail), 1 / rate_hz) / 2500.0), len(tail))
    for delay_s, level in ((0.017, 0.5), (0.041, 0.4), (0.083, 0.3)):
        dulled[round(delay_s * rate_hz)] += level * np.abs(dulled).max() * 4
    response = wet * dulled / filter_rms(dulled)
    response[0] += 1.0
    return convolve(signal, response)


def siren(duration_s: float, rate_hz: int) -> Signal:
    """Synthesize an electronic siren of a vehicle that drives past."""
    time_s = seconds_of(duration_s, rate_hz)
    rise = np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * time_s / 4.5))
    frequency_hz = 600.0 * (1445.0 / 600.0) ** rise
    tone = np.tanh(4.0 * harmonics(frequency_hz, 1 / np.arange(1, 13) ** 0.67, rate_hz))
    horn = damped_sines([(925, 0.0022, 0.85), (1260, 0.0022, 0.82), (3050, 0.0022, 0.73)], 0.02, rate_hz)
    loud = convolve(tone, horn)
    near = 1.0 - 0.4 * np.cos(2 * np.pi * time_s / duration_s)
    return fade(near * loud / np.abs(loud).max() / 1.4, 0.6, 0.8, rate_hz)


def car_horn(duration_s: float, rate_hz: int, low_hz: float) -> Signal:
    """Synthesize one press of a car horn: two reeds nearly a major third apart."""
    time_s = seconds_of(duration_s, rate_hz)
    numbers = np.arange(1, 25)
    press = 1.0 - 0.035 * np.exp(-time_s / 0.02)
    tone = np.zeros_like(time_s)
    for reed_hz in (low_hz, 1.245 * low_hz):
        levels = numbers**-0.2 / (1 + (numbers * reed_hz / 3440.0) ** 4)
        levels *= 0.17 + np.exp(-(((numbers * reed_hz - 2970.0) / 490.0) ** 2))
        tone += harmonics(reed_hz * press, levels, rate_hz)
    return fade(np.tanh(2.0 * tone / np.abs(tone).max()), 0.005, 0.19, rate_hz)


def jackhammer(duration_s: float, rate_hz: int, noise: np.random.Generator) -> Signal:
    """Synthesize a pneumatic breaker: blows, the ringing chisel, cracking stone, and the exhaust."""
    size = len(seconds_of(duration_s, rate_hz))
    gaps_s = (1 + 0.042 * noise.standard_normal(int(duration_s * 17))) / 14.0
    blows = (np.cumsum(gaps_s) * rate_hz).astype(int)
    strikes = np.zeros(size)
    strikes[blows[blows < size]] = 1 - 0.33 * noise.random(np.count_nonzero(blows < size))
    chisel = damped_sines(
        [(711, 0.022, 0.8), (1223, 0.018, 1.0), (1870, 0.015, 0.9), (2709, 0.013, 0.7)], 0.09, rate_hz
    )
    body = damped_sines([(132, 0.0213, 1.0), (304, 0.0149, 0.7), (608, 0.0107, 0.5)], 0.09, rate_hz)
    time_s = seconds_of(0.09, rate_hz)
    puff = convolve(strikes, np.exp(-time_s / 0.0124) * (1 - np.exp(-time_s / 0.003)))
    exhaust = shaped_noise(size, rate_hz, 1.09, 200.0, 7000.0, noise) * (0.67 + puff / puff.max())
    stone = shaped_noise(size, rate_hz, 0.6, 700.0, 9000.0, noise) * convolve(strikes, np.exp(-time_s / 0.012))
    parts = ((0.79, convolve(strikes, chisel)), (0.75, convolve(strikes, body)), (1.2, exhaust), (0.62, stone))
    sound = np.sum([level * part / part.std() for level, part in parts], axis=0)
    return fade(np.tanh(0.21 * sound / sound.std()), 0.15, 0.2, rate_hz)


def dog_bark(rate_hz: int, pitch_hz: float, noise: np.random.Generator) -> Signal:
    """Synthesize one bark of a medium-sized dog: a rough glottal sound of a quarter of a second."""
    time_s = seconds_of(0.25, rate_hz)
    frequency_hz = pitch_hz * (0.95 + 0.38 * np.exp(-(((time_s - 0.09) / 0.05) ** 2)))
    frequency_hz *= 1 + 0.055 * np.interp(time_s, np.arange(72) * 0.0035, noise.standard_normal(72))
    source = harmonics(frequency_hz, 1 / np.arange(1, 25) ** 0.84, rate_hz)
    source *= 1 + 0.38 * np.sin(np.pi * np.cumsum(frequency_hz) / rate_hz)  # every second pulse is weaker
    source = source / source.std() + 0.33 * shaped_noise(len(time_s), rate_hz, 0.4, 400.0, 7000.0, noise)
    formants = damped_sines([(865, 0.0019, 1.0), (1790, 0.003, 0.8), (2000, 0.0009, 0.3)], 0.03, rate_hz)
    sound = convolve(source, formants)
    breath = (1 - np.exp(-time_s / 0.01)) * np.exp(-np.maximum(0.0, time_s - 0.08) / 0.035)
    return fade(np.tanh(1.9 * sound / np.abs(sound).max()) * breath, 0.003, 0.02, rate_hz)


def traffic(duration_s: float, rate_hz: int, noise: np.random.Generator) -> Signal:
    """Synthesize periodic traffic noise of unit power: rumble and tires, with a slow swell."""
    size = len(seconds_of(duration_s, rate_hz))
    turn = 2 * np.pi * np.arange(size) / size
    swell = 1 + 0.25 * np.sin(turn) + 0.15 * np.sin(2 * turn + 1)
    rumble = shaped_noise(size, rate_hz, 1.0, 40.0, 400.0, noise)
    tyres = shaped_noise(size, rate_hz, 0.5, 300.0, 2500.0, noise)
    street = (0.8 * rumble + 0.6 * tyres) * swell
    return np.asarray(street / street.std())

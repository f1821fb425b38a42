"""A microphone, through PortAudio.

Conventions: opened at the device's own rate, whatever the model wants (`frontend/resample.py` changes it), with
two channels at most unless asked. The callback copies, stamps and puts without waiting; it never logs
or raises. All loss is counted: samples that found the queue full, exactly; an overflow that PortAudio
flags, by the jump of the driver's time stamps; what vanished unflagged, by the clock (`capture/drop_detector.py`).
Source: tried with PulseAudio: a killed server calls `finished_callback` and raises nothing; a stopped one
just goes silent, and then `stop` and `abort` hang.
Does not: open a lost device again (`capture/reconnect.py`, through `capture/capture_process.py`).
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

import numpy as np

from soundwatch.daemon.capture.device_names import resolve_device
from soundwatch.daemon.capture.devices import Device, find_device, list_devices
from soundwatch.daemon.capture.drop_detector import DropDetectorState, detect_drops
from soundwatch.daemon.capture.portaudio import call_portaudio
from soundwatch.daemon.capture.validate import validate_samples
from soundwatch.daemon.core.clock import monotonic_ns
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Block, Samples, read_only

MAX_CHANNELS: Final = 2  # more are taken only when asked for
BLOCK_MS: Final = 100
LATENCY_S: Final = 0.3  # three blocks: as long may Python keep the callback waiting before the driver overflows
QUEUED_BLOCKS: Final = 100
STALL_S: Final = 2.0
CLOSING_S: Final = 1.0
HUNG_CLOSING_S: Final = 0.2  # it will most likely hang too, and the loss is to be told of soon


@dataclass(frozen=True, slots=True)
class CallbackBlock:
    """What one callback brought.

    Attributes:
        samples: (C, S).
        dropped_samples: How many found no room in the queue right before.
        overflowed: Whether PortAudio says that the driver lost some right before.
        adc_s: The driver's time of the first sample, on PortAudio's clock.
        arrival_ns: When the callback came, by the steady clock.
    """

    samples: Samples
    dropped_samples: int
    overflowed: bool
    adc_s: float
    arrival_ns: int


class Microphone:
    """An input device.

    Args:
        name: The source's name in events.
        device: Name, part of a name, one as `capture/device_names.py` has them, index, or "default".
        channels: How many to open; None for the device's own, two at most.

    Raises:
        SourceError: The device is not there, cannot be opened, or PortAudio is missing.
    """

    def __init__(self, name: str, device: str | int = "default", channels: int | None = None) -> None:
        found = find_device(list_devices(), resolve_device(device) if isinstance(device, str) else device)
        if channels is not None and not 1 <= channels <= found.channels:
            raise SourceError(
                f"{channels} channels were asked of {found.name!r}, which has {found.channels}; ask for 1 to "
                f"{found.channels}, or leave it out."
            )
        wanted = channels or min(found.channels, MAX_CHANNELS)
        self.info = SourceInfo(name, f"{found.name}, {found.host_api}", found.rate_hz, wanted)
        self.start_unix_ns = 0
        self._queue: queue.SimpleQueue[CallbackBlock | None] = queue.SimpleQueue()  # its put may interrupt its get
        self._dropped_samples = 0
        self._stopped = False
        self._stream = call_portaudio(f"Opening {self.info.description}", lambda module: self._open(module, found))

    def blocks(self) -> Iterator[Block]:
        """Blocks of about 100 ms as they are heard, until `stop`.

        Raises:
            SourceError: The device cannot be started, ended, or has delivered nothing for two seconds.
        """
        call_portaudio(f"Starting {self.info.description}", lambda _: self._stream.start())
        closing_s = CLOSING_S
        try:
            yield from self._delivered()
        except StallError:
            closing_s = HUNG_CLOSING_S
            raise
        finally:
            with contextlib.suppress(SourceError, RuntimeError):  # it hangs; or Python ends, and with it all threads
                call_portaudio(f"Closing {self.info.description}", lambda _: self._close(), timeout_s=closing_s)

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        self._queue.put(None)

    def _open(self, sounddevice: ModuleType, device: Device) -> Any:
        return sounddevice.InputStream(
            device=device.index,
            samplerate=device.rate_hz,
            channels=self.info.channels,
            dtype="float32",
            blocksize=device.rate_hz * BLOCK_MS // 1000,
            latency=LATENCY_S,
            callback=self._hear,
            finished_callback=lambda: self._queue.put(None),
        )

    def _close(self) -> None:
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _hear(self, frames: Any, count: int, times: Any, status: Any) -> None:
        """PortAudio's callback: frames (S, C) in memory that it takes back."""
        if not self.start_unix_ns:
            age_s = first_sample_age_s(times.currentTime - times.inputBufferAdcTime, count / self.info.rate_hz)
            self.start_unix_ns = time.time_ns() - round(age_s * 1e9)
        if self._queue.qsize() >= QUEUED_BLOCKS:
            self._dropped_samples += count
            return
        samples = read_only(np.array(frames.T, np.float32, order="C"))
        overflowed = bool(status.input_overflow)
        self._queue.put(
            CallbackBlock(samples, self._dropped_samples, overflowed, times.inputBufferAdcTime, monotonic_ns())
        )
        self._dropped_samples = 0

    def _delivered(self) -> Iterator[Block]:
        """Deliveries as blocks, with all that was lost in between."""
        rate_hz, end_sample = self.info.rate_hz, 0
        before: CallbackBlock | None = None
        watch = DropDetectorState()
        while (delivery := self._next()) is not None:
            lost = delivery.dropped_samples
            if delivery.overflowed and before is not None:
                lost = max(lost + 1, overflow_samples(before, delivery, rate_hz))
            size = delivery.samples.shape[1]
            watch, vanished = detect_drops(watch, delivery.arrival_ns, end_sample + lost + size, rate_hz)
            lost += vanished
            validate_samples(delivery.samples, end_sample + lost, rate_hz, self.info.description)
            yield Block(delivery.samples, rate_hz, end_sample + lost, lost, delivery.arrival_ns)
            end_sample += lost + size
            before = delivery

    def _next(self) -> CallbackBlock | None:
        """The next delivery; None after `stop`."""
        for _ in range(2):  # twice, since the first wait may expire while the whole process is frozen
            if self._stopped:
                return None
            with contextlib.suppress(queue.Empty):
                return self._believed(self._queue.get(timeout=STALL_S / 2))
        raise StallError(
            f"{self.info.description} has delivered nothing for {STALL_S:g} s. Check that it is still plugged in "
            "and that the sound server answers."
        )

    def _believed(self, delivery: CallbackBlock | None) -> CallbackBlock | None:
        """The delivery, or None if that was asked for; a stream that ended by itself is an error."""
        if delivery is None and not self._stopped:
            raise SourceError(
                f"{self.info.description} stopped delivering: it was unplugged, or the sound server ended. Plug it in "
                "or start the server."
            )
        return delivery


def first_sample_age_s(reported_s: float, block_s: float) -> float:
    """How old the first sample of a block just delivered is.

    PortAudio's report counts where it is believable: it is at least the block's length, since the last
    sample has been heard too, and some host APIs report zero or another clock's time.
    """
    return reported_s if math.isfinite(reported_s) and block_s <= reported_s <= block_s + 2.0 else block_s


def overflow_samples(before: CallbackBlock, delivery: CallbackBlock, rate_hz: int) -> int:
    """How many samples are missing between two deliveries by the driver's time stamps.

    No more than fit between their arrivals: PortAudio's clock may be the wall clock, which can be set.
    """
    jump_s = delivery.adc_s - before.adc_s - before.samples.shape[1] / rate_hz
    most_s = (delivery.arrival_ns - before.arrival_ns) / 1e9
    return round(max(0.0, min(jump_s, most_s)) * rate_hz) if math.isfinite(jump_s) else 0

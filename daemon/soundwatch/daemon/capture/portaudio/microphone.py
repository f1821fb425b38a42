"""Microphones, through PortAudio.

Conventions: a device is opened at its own rate (`frontend/resample.py` converts it), with
two channels at most unless configured. The callback copies, stamps and queues without waiting; it never logs
or raises. All losses are counted: samples that did not fit into the queue, exactly; an overflow that PortAudio
flags, by the jump of the driver's time stamps; unflagged losses, by the clock (`capture/monitoring/drop_detector.py`).
Source: tests with PulseAudio: a killed server calls `finished_callback` and raises nothing; a stopped one
delivers nothing more, and `stop` and `abort` hang.
Does not: reopen a lost device (`capture/monitoring/reconnect.py`, through `capture/microphones/capture_process.py`).
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

from soundwatch.daemon.capture.monitoring.drop_detector import DropDetectorState, detect_drops
from soundwatch.daemon.capture.portaudio.device_names import resolve_device
from soundwatch.daemon.capture.portaudio.devices import Device, find_device, list_devices
from soundwatch.daemon.capture.portaudio.library import call_portaudio
from soundwatch.daemon.capture.samples.validate import validate_samples
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.core.records.channels import channels_to_open
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import monotonic_ns

BLOCK_MS: Final = 100
LATENCY_S: Final = 0.3  # three blocks: the driver overflows if Python delays the callback for longer
QUEUED_BLOCKS: Final = 100
STALL_S: Final = 2.0
CLOSING_S: Final = 1.0
HUNG_CLOSING_S: Final = 0.2  # closing will most likely hang too, and the loss must be reported soon


@dataclass(frozen=True, slots=True)
class CallbackBlock:
    """Samples of one callback.

    Attributes:
        samples: (C, S).
        dropped_samples: Number of samples dropped right before, because the queue was full.
        overflowed: True if PortAudio reports that the driver lost samples right before.
        adc_s: Driver's time of the first sample, on PortAudio's clock.
        arrival_ns: Time of the callback, by the monotonic clock.
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
        device: Name, part of a name, a name of `capture/portaudio/device_names.py`, index, or "default".
        channels: Number of channels to open; None for the device's own, two at most.

    Raises:
        SourceError: The device is absent, cannot be opened, or PortAudio is missing.
    """

    def __init__(self, name: str, device: str | int = "default", channels: int | None = None) -> None:
        found = find_device(list_devices(), resolve_device(device) if isinstance(device, str) else device)
        wanted = channels_to_open(found.name, found.channels, channels)
        self.info = SourceInfo(name, f"{found.name}, {found.host_api}", found.rate_hz, wanted)
        self.start_unix_ns = 0
        self._queue: queue.SimpleQueue[CallbackBlock | None] = queue.SimpleQueue()  # its put may interrupt its get
        self._dropped_samples = 0
        self._stopped = False
        self._stream = call_portaudio(f"Opening {self.info.description}", lambda module: self._open(module, found))

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of about 100 ms as they are captured, until `stop`.

        Raises:
            SourceError: The device cannot be started, has ended, or has delivered nothing for two seconds.
        """
        call_portaudio(f"Starting {self.info.description}", lambda _: self._stream.start())
        closing_s = CLOSING_S
        try:
            yield from self._deliveries()
        except StallError:
            closing_s = HUNG_CLOSING_S
            raise
        finally:
            with contextlib.suppress(SourceError, RuntimeError):  # the call hangs, or Python exits
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
            callback=self._on_samples,
            finished_callback=lambda: self._queue.put(None),
        )

    def _close(self) -> None:
        self._stream.abort(ignore_errors=True)
        self._stream.close(ignore_errors=True)

    def _on_samples(self, frames: Any, count: int, times: Any, status: Any) -> None:
        """Queue a copy of frames (S, C): PortAudio's callback, which reuses their memory."""
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

    def _deliveries(self) -> Iterator[Block]:
        """Yield deliveries as blocks, with the losses between them."""
        rate_hz, end_sample = self.info.rate_hz, 0
        before: CallbackBlock | None = None
        watch = DropDetectorState()
        while (delivery := self._next()) is not None:
            lost = delivery.dropped_samples
            if delivery.overflowed and before is not None:
                lost = max(lost + 1, overflow_samples(before, delivery, rate_hz))
            size = delivery.samples.shape[1]
            watch, dropped = detect_drops(watch, delivery.arrival_ns, end_sample + lost + size, rate_hz)
            lost += dropped
            validate_samples(delivery.samples, end_sample + lost, rate_hz, self.info.description)
            yield Block(delivery.samples, rate_hz, end_sample + lost, lost, delivery.arrival_ns)
            end_sample += lost + size
            before = delivery

    def _next(self) -> CallbackBlock | None:
        """Wait for the next delivery; None after `stop`."""
        for _ in range(2):  # the first wait may expire while the whole process is suspended
            if self._stopped:
                return None
            with contextlib.suppress(queue.Empty):
                return self._checked(self._queue.get(timeout=STALL_S / 2))
        raise StallError(
            f"{self.info.description} has delivered nothing for {STALL_S:g} s. Check that it is still plugged in "
            "and that the sound server answers."
        )

    def _checked(self, delivery: CallbackBlock | None) -> CallbackBlock | None:
        """Return the delivery, or None after `stop`; refuse a stream that ended by itself."""
        if delivery is None and not self._stopped:
            raise SourceError(
                f"{self.info.description} stopped delivering: it was unplugged, or the sound server ended. Plug it in "
                "or start the server."
            )
        return delivery


def first_sample_age_s(reported_s: float, block_s: float) -> float:
    """Return the age of the first sample of a block that was just delivered.

    PortAudio's value counts if it is plausible: at least the block's length, since some host APIs report zero or the
    time of another clock.
    """
    return reported_s if math.isfinite(reported_s) and block_s <= reported_s <= block_s + 2.0 else block_s


def overflow_samples(before: CallbackBlock, delivery: CallbackBlock, rate_hz: int) -> int:
    """Count the samples missing between two deliveries by the driver's time stamps.

    The result is at most the time between their arrivals, since PortAudio's clock may be the wall clock.
    """
    jump_s = delivery.adc_s - before.adc_s - before.samples.shape[1] / rate_hz
    most_s = (delivery.arrival_ns - before.arrival_ns) / 1e9
    return round(max(0.0, min(jump_s, most_s)) * rate_hz) if math.isfinite(jump_s) else 0

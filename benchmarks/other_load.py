"""Load by other programs during a benchmark, for the cause of a long delay.

Conventions: cores are means over a time; time that the host of a virtual machine takes counts as other programs'. It is
for Linux, as the benchmarks are.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any, Final

BEFORE_S: Final = 5.0


class OtherLoad:
    """Processor time that other programs take, by the second."""

    def __init__(self) -> None:
        self._seen = [self._now()]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def cores(self, from_s: float, until_s: float) -> float:
        """Return the mean number of cores that were busy with other programs in a time of the monotonic clock."""
        seen = [moment for moment in self._seen if from_s - 1 <= moment[0] <= until_s + 1]
        (first_s, first_busy_s), (last_s, last_busy_s) = seen[0], seen[-1]
        return round((last_busy_s - first_busy_s) / max(1e-9, last_s - first_s), 2)

    def end(self) -> None:
        """End the watch."""
        self._ended.set()
        self._thread.join()
        self._seen.append(self._now())

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self._seen.append(self._now())

    @staticmethod
    def _now() -> tuple[float, float]:
        user, nice, system, _, _, irq, softirq, steal, *_ = Path("/proc/stat").read_text().split("\n")[0].split()[1:]
        ticks = sum(map(int, (user, nice, system, irq, softirq, steal)))
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK") - time.process_time()


def slowest_text(run: dict[str, Any]) -> str:
    """Return the time of the longest delay, and the load by other programs at that time."""
    slowest, other = run["slowest"], run["other_cores_busy"]
    delay = f"{slowest['delay_ms']:.0f} ms, {slowest['at_s']:.1f} s after the start"
    load = f"{other['before_slowest']:.2f} cores busy in the {BEFORE_S:g} s before, and {other['mean']:.2f} in the mean"
    return f"\nThe longest delay of {run['streams']} streams was {delay}. Other programs kept {load}.\n"

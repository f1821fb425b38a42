"""Records from a microphone in its own process, since PortAudio's device list is frozen at its start.

Usage: record.py DEVICE SECONDS OUT.npz [QUEUED_BLOCKS NAP_S]
Prints "listening" after the first block, and ends as the daemon would: message on stderr, exit code.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from soundwatch.daemon.capture import open_source
from soundwatch.daemon.capture.portaudio import microphone
from soundwatch.daemon.core.errors import SourceError


def main(device: str, seconds: str, out: str, queued_blocks: str = "100", nap_s: str = "0") -> int:
    microphone.QUEUED_BLOCKS = int(queued_blocks)  # type: ignore[misc]  # a test fills the queue sooner
    try:
        source = open_source("mic0", device)
        blocks = []
        for block in source.blocks():
            blocks.append(block)
            if len(blocks) == 1:
                print("listening", flush=True)  # noqa: T201
            if len(blocks) == 5:
                time.sleep(float(nap_s))
            if block.first_sample >= float(seconds) * block.rate_hz:
                source.stop()
    except SourceError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    numbers = np.concatenate([block.first_sample + np.arange(block.samples.shape[1]) for block in blocks])
    np.savez(
        out,
        samples=samples,
        numbers=numbers,
        lost_samples=sum(block.lost_samples for block in blocks),
        rate_hz=source.info.rate_hz,
        start_unix_ns=source.start_unix_ns,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

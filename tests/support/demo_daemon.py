"""`soundwatch run` on the demo scene with its page, as a user starts it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from support.cli_runner import SOUNDWATCH


@contextmanager
def demo_daemon(
    port: int, *arguments: str, env: dict[str, str] | None = None, log: Path | None = None
) -> Iterator[str]:
    """Run the daemon within the context, and provide the address of its page; kill it if it does not end."""
    command = [SOUNDWATCH, "run", "--device", "demo", "-F", f"http://127.0.0.1:{port}", *arguments]
    with (
        open(log or os.devnull, "ab") as log_file,  # noqa: PTH123  # os.devnull is no path of a Path's
        subprocess.Popen(command, env=os.environ | (env or {}), stdout=log_file, stderr=log_file) as daemon,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: get(url, "/api/health") is not None and daemon.poll() is None)
            yield url
        finally:
            daemon.send_signal(signal.SIGTERM)
            try:
                daemon.wait(60)
            except subprocess.TimeoutExpired:
                daemon.kill()


def get(url: str, path: str) -> Any:
    """Return the response; None without one."""
    try:
        return httpx.get(url + path, timeout=60, trust_env=False, verify=False).json()  # noqa: S501  # no certificates to load
    except httpx.TransportError:
        return None


def has_event(url: str) -> bool:
    """Return True if the page has an event."""
    return bool((get(url, "/api/events") or {}).get("events"))


def wait_for(is_so: Any, seconds: float = 60.0) -> None:
    """Wait for what another process does."""
    until_s = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until_s, "it did not happen"
        time.sleep(0.1)

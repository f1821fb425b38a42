"""The duties of process 1, for containers without an init.

Conventions: as process 1 the program forks at once. The child is the program; the parent forwards signals to the child
and reaps every process whose own parent has ended, such as a background job of a hook. The kernel gives those to
process 1, and without a reaper each stays as a zombie.
Does not: anything in a process with another number, such as under systemd or `docker run --init`.
"""

from __future__ import annotations

import os
import signal
import sys

if sys.platform != "win32":
    _FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

    def run_as_init() -> None:
        """Return in the program's process; process 1 stays here and ends with the program's exit code."""
        if os.getpid() != 1:
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED)  # one that comes now waits for its handler
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
            return
        for number in _FORWARDED:
            signal.signal(number, lambda received, _: _forward(child, received))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _FORWARDED)
        os._exit(_reap_until(child))

    def _forward(child: int, number: int) -> None:
        try:
            os.kill(child, number)
        except ProcessLookupError:  # it has ended, and is about to be reaped
            return

    def _reap_until(child: int) -> int:
        """Reap processes until the program has ended, and return its exit code; that of a signal is 128 more."""
        while True:
            ended, status = os.wait()
            if ended == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code

else:

    def run_as_init() -> None:
        """Do nothing: Windows has no process 1."""

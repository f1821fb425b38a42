"""Job control of a shell: foreground and background jobs of a terminal, Ctrl-Z, `fg` and `bg`.

Conventions: a process that draws on a terminal gives the terminal back before it stops. So the handler of SIGTSTP
(Ctrl-Z, `kill -TSTP`) only counts while a view is open; the view gives the terminal back and calls `stop`. A view also
begins again after each SIGCONT, since `kill -STOP` leaves no time to give anything back.
Rule: handlers take no lock, since a handler may interrupt another one; threads poll the counters.
Rule: a job in the background leaves the terminal's settings alone. A thread that may still touch the terminal blocks
SIGTTOU and SIGTTIN, which would stop the whole process, SIGTERM included.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator


class JobControl:
    """Job control of this process.

    Attributes:
        view_open: True while a view has the terminal, so that it has to be given back before a stop.
        suspends: Number of requests to stop while a view was open.
        continues: Number of times that the process was continued.
    """

    def __init__(self) -> None:
        self.view_open = False
        self.suspends = 0
        self.continues = 0

    if sys.platform != "win32":

        @contextlib.contextmanager
        def handled(self) -> Iterator[None]:
            """Handle SIGTSTP and SIGCONT, in the main thread; an ignored SIGTSTP stays ignored."""
            if signal.getsignal(signal.SIGTSTP) != signal.SIG_DFL:
                yield
                return
            signal.signal(signal.SIGTSTP, self._on_suspend)
            signal.signal(signal.SIGCONT, self._on_continue)
            try:
                yield
            finally:
                for number in (signal.SIGTSTP, signal.SIGCONT):
                    signal.signal(number, signal.SIG_DFL)

        def stop(self) -> None:
            """Stop this process until it is continued, after the view has given the terminal back.

            The main thread stops; any other thread has to wait until `continues` changes. In a process group without a
            shell (orphaned), the system ignores the stop and `continues` changes at once.
            """
            self.view_open = False
            os.kill(os.getpid(), signal.SIGTSTP)

        def _on_suspend(self, *_: object) -> None:
            if self.view_open:
                self.suspends += 1
                return
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)  # returns once the process is continued
            signal.signal(signal.SIGTSTP, self._on_suspend)
            self.continues += 1

        def _on_continue(self, *_: object) -> None:
            self.continues += 1

    else:

        @contextlib.contextmanager
        def handled(self) -> Iterator[None]:
            """Do nothing: Windows has no job control."""
            yield

        def stop(self) -> None:
            """Do nothing: Windows has no job control."""


if sys.platform != "win32":

    def in_foreground(terminal: int) -> bool:
        """Return True unless the terminal, a descriptor, is this process's and another job has it."""
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:  # not the controlling terminal: no job control
            return True

    def block_terminal_stops() -> None:
        """Keep the terminal from stopping this process for what the calling thread does to it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU, signal.SIGTTIN})

else:

    def in_foreground(terminal: int) -> bool:
        """Return True: Windows has no job control."""
        del terminal
        return True

    def block_terminal_stops() -> None:
        """Do nothing: Windows has no job control."""

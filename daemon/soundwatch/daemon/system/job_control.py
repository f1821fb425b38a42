"""Job control of a shell: foreground and background jobs of a terminal.

Conventions: a background job that changes the terminal's settings is stopped by the system, signals included, so it
must leave the terminal alone.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

if sys.platform != "win32":

    def in_foreground(terminal: int) -> bool:
        """Return True unless the terminal, a descriptor, is this process's and another job has it."""
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        except OSError:  # not the controlling terminal: no job control
            return True

    def stop_job() -> None:
        """Stop all processes of this job, as Ctrl-Z does, until the shell continues them."""
        os.killpg(os.getpgrp(), signal.SIGSTOP)
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)  # otherwise this thread stops only some time later

else:

    def in_foreground(terminal: int) -> bool:
        """Return True: Windows has no job control."""
        del terminal
        return True

    def stop_job() -> None:
        """Do nothing: Windows has no job control."""

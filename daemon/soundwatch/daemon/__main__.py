"""The entry of the program `soundwatch`, also as `python -m soundwatch.daemon`.

Conventions: SIGINT and SIGTERM end every command with exit code 0, from the first line here to the last one. Commands
that end their work in order handle both signals themselves (`system/signals.py`). In all others the signals raise
`KeyboardInterrupt`; during an import, where an extension module may lose or replace an exception, they end the process.
The imports take seconds on a small board, so they come after the signal handlers.
Does not: finalize the interpreter. A thread that returns from ONNX Runtime during the finalization is ended by Python
within a C++ destructor, which aborts the process ("terminate called without an active exception").
"""

import atexit
import contextlib
import os
import signal
import sys
from types import FrameType, TracebackType

_IMPORTLIB = "<frozen importlib._bootstrap>"
_LEAST_BYTES = 128 << 20  # of the imports and the buffers of numpy's BLAS


class _Exit:
    """The exit code of this process."""

    code = 0


def main() -> None:
    """Run the command line; exit with 0 at a SIGINT or SIGTERM that no command has handled."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # a shell's background job ignores SIGINT
            signal.signal(number, _stop)
    atexit.register(_exit)  # the function registered first is called last
    sys.excepthook, sys.unraisablehook = _report, _report_unraisable
    _check_memory()
    from soundwatch.daemon.cli import main as run

    try:
        run()
    except SystemExit as request:
        _Exit.code = request.code if isinstance(request.code, int) else 1
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is _stop:
                signal.signal(number, _end_workers)
        raise


def _check_memory() -> None:
    """Fail while a failure can be reported: without memory, numpy's BLAS exits, and a thread that ends aborts.

    A thread of Python ends by `pthread_exit`, for which glibc loads the library of unwinding once.

    Raises:
        OSError: There is too little memory for the program.
    """
    import mmap  # here, since a signal during an import above ends in a traceback
    import threading

    if sys.platform != "win32":
        mmap.mmap(-1, _LEAST_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()  # counts as data and as addresses
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _stop(number: int, frame: FrameType | None) -> None:
    """Interrupt the command, or end the process if a module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTLIB:
            os._exit(0)
        frame = frame.f_back
    raise KeyboardInterrupt(number)


def _end_workers(number: int, frame: FrameType | None) -> None:
    """End the worker processes that the exit waits for; a second signal ends this process.

    The exit is not interrupted: it removes the semaphores of the workers, and otherwise Python reports them as leaked.
    """
    del frame
    signal.signal(number, lambda *_: os._exit(_Exit.code))
    if "multiprocessing" in sys.modules:
        for worker in sys.modules["multiprocessing"].active_children():
            worker.terminate()


def _report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print the traceback of a bug, or the shortage that ended the imports; an interrupt is a stop as any other."""
    if issubclass(kind, KeyboardInterrupt):
        return
    from soundwatch.daemon.core.errors import exhausted

    failure = exhausted(error)
    if failure is None:
        _Exit.code = 1
        sys.__excepthook__(kind, error, traceback)
    else:
        _Exit.code = failure.exit_code
        sys.stderr.write(f"soundwatch: {failure}\n")


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """End the process if Python drops an interrupt, as it does in a finalizer; report any other exception."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        os._exit(_Exit.code)
    sys.__unraisablehook__(unraisable)


def _exit() -> None:
    """Exit without the finalization of the interpreter; threads that may end have ended."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # no reader, closed, absent
            stream.flush()
    os._exit(_Exit.code)


if __name__ == "__main__":
    main()

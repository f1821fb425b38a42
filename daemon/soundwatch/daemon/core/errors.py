"""The error classes, and the exit code of each.

    SoundwatchError                 1   never raised itself; base class of all
    ├── ConfigError                 2   a configuration file or an option is wrong
    │   ├── LockedError             2   a locked schedule refuses a command
    │   ├── ConfigConflictError     2   the file was changed since it was read (`config/change.py`)
    │   └── ConfigBusyError         2   another change is being applied (`config/change.py`)
    ├── ModelError                  3   a model file cannot be used
    │   └── ContractError           3   its contract is missing, malformed or contradicted
    ├── SourceError                 4   a microphone or a recording cannot be opened or read
    │   ├── StallError              4   it delivers nothing although it has not ended
    │   └── SourceUnavailableError  4   a required library or program is missing; a retry cannot help
    ├── ProviderError               5   the requested accelerator cannot be used
    ├── SinkError                   6   no sink can take events any more, or an output cannot be written
    │   └── ReaderClosedError       6   the reader has closed for good
    ├── DataError                   7   a data set for training or evaluation is wrong
    ├── VerificationError           8   an export differs from the network it was made from
    ├── StoreError                  9   the journal's file cannot be used
    ├── ServiceError               11   the service cannot be installed or removed, or does not run
    └── ExhaustedError             13   the system gives no more memory, threads or open files

Conventions: a message states what was found, what was expected and what to do, in that order, in plain
sentences without a trailing newline. Exit code 0 is success, and also a stop by SIGINT or SIGTERM; 1 is a bug in
soundwatch. Silence, or a sound of none of the classes, is a value and never an error.
"""

from __future__ import annotations

import errno
from traceback import walk_tb
from typing import ClassVar, Final

_TORCH_ERRORS: Final = ("can't allocate memory", "not enough memory")
_LOADING_ERRORS: Final = ("failed to map segment", "annot allocate memory", "bad_alloc")  # of glibc and ONNX Runtime


class SoundwatchError(Exception):
    """Base of every error that soundwatch raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(SoundwatchError):
    """A configuration file or a command-line option is wrong."""

    exit_code: ClassVar[int] = 2


class LockedError(ConfigError):
    """A locked schedule refuses a command."""


class ModelError(SoundwatchError):
    """A model file is missing, damaged or of the wrong shape."""

    exit_code: ClassVar[int] = 3


class ContractError(ModelError):
    """A model's contract is missing, malformed, inconsistent, or contradicted by the configuration."""


class SourceError(SoundwatchError):
    """A microphone, stream or recording cannot be opened or read."""

    exit_code: ClassVar[int] = 4


def unexpected_failure(description: str, error: Exception) -> SourceError:
    """Return the error of a source that failed in a way that was not foreseen, as without memory or descriptors."""
    reason = getattr(error, "strerror", None) or str(error)
    failure = SourceError(f"{description} failed: {type(error).__name__}{f': {reason}' if reason else ''}.")
    failure.__cause__ = error
    return failure


class StallError(SourceError):
    """A live source delivers nothing although it has not ended."""


class SourceUnavailableError(SourceError):
    """A library or program that a source needs is missing, so a retry cannot help."""


class ProviderError(SoundwatchError):
    """The execution provider that was required cannot be used on this machine."""

    exit_code: ClassVar[int] = 5


class SinkError(SoundwatchError):
    """No sink can take events any more, or an output cannot be written."""

    exit_code: ClassVar[int] = 6


class ReaderClosedError(SinkError):
    """The reader of a sink has closed for good."""


class DataError(SoundwatchError):
    """A data set is incomplete, malformed or lacks the requested part."""

    exit_code: ClassVar[int] = 7


class VerificationError(SoundwatchError):
    """An exported model differs from its source."""

    exit_code: ClassVar[int] = 8


class StoreError(SoundwatchError):
    """The journal's file cannot be opened, belongs to another program, or is in use.

    Args:
        message: What was found, what was expected and what to do.
        final: True if a journal in memory is no replacement: another program writes to the file, or the file is of an
            earlier release and cannot be upgraded.
    """

    exit_code: ClassVar[int] = 9

    def __init__(self, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.final = final


class ServiceError(SoundwatchError):
    """The service cannot be installed or removed, or does not run."""

    exit_code: ClassVar[int] = 11


class ExhaustedError(SoundwatchError):
    """The system gives no more memory, threads or open files."""

    exit_code: ClassVar[int] = 13


def exhausted(error: BaseException) -> ExhaustedError | None:
    """Return the error to end with if the system gives no more memory, threads or open files; None for a bug.

    The error itself may be the consequence of the shortage: a failed import, a failed source, or numpy's `SystemError`.
    """
    if isinstance(error, MemoryError):
        reason = str(error).rstrip(".") or "an allocation failed"
        found = f"There is no more memory: {reason}."
    elif isinstance(error, RuntimeError) and any(text in str(error) for text in _TORCH_ERRORS):
        found = "There is no more memory."
    elif isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        found = "The system starts no more threads."
    elif (isinstance(error, OSError) and error.errno == errno.ENOMEM) or _is_failed_loading(error):
        found = "There is no more memory."
    elif isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        found = "The program can open no more files."
    else:
        return None if error.__cause__ is None else exhausted(error.__cause__)
    return ExhaustedError(
        f"{found} Raise the program's limits of memory, of threads and of open files, end other programs, or use "
        "fewer sources."
    )


def _is_failed_loading(error: BaseException) -> bool:
    """Return True if a module or a library was not loaded for want of memory."""
    if isinstance(error, SystemError) and error.__traceback__ is not None:
        last = [frame for frame, _ in walk_tb(error.__traceback__)][-1]
        return "importlib" in last.f_code.co_filename  # the interpreter lost the exception of an allocation
    if not isinstance(error, ImportError | OSError):
        return False
    if any(text in str(error) for text in _LOADING_ERRORS):
        return True
    return error.__context__ is not None and _is_failed_loading(error.__context__)  # of another path of the library

"""Shortages of the system behind other errors."""

from __future__ import annotations

import errno

import pytest

from soundwatch.daemon.core.errors import ExhaustedError, SourceError, exhausted, unexpected_failure


def chained(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (MemoryError("Unable to allocate 4 MiB"), "There is no more memory: Unable to allocate 4 MiB."),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "There is no more memory."),
        (ImportError("x.so: failed to map segment from shared object"), "There is no more memory."),
        (ImportError("Exception caught: std::bad_alloc"), "There is no more memory."),
        (OSError("cannot load library 'x.so': x.so: cannot allocate memory in static TLS"), "There is no more memory."),
        (chained(ImportError("numpy is not installed well"), ImportError("failed to map segment")), "no more memory."),
        (chained(SystemError("returned a result with an exception set"), MemoryError()), "an allocation failed."),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "no more memory."),
        (RuntimeError("can't start new thread"), "The system starts no more threads."),
        (chained(SourceError("a.wav cannot be read."), OSError(errno.EMFILE, "Too many")), "can open no more files."),
        (unexpected_failure("demo", MemoryError()), "There is no more memory"),
    ],
)
def test_a_shortage_is_found_behind_an_error(error: BaseException, found: str) -> None:
    failure = exhausted(error)
    assert isinstance(failure, ExhaustedError)
    assert found in str(failure)


@pytest.mark.parametrize(
    "error",
    [
        ImportError("cannot import name 'x'"),
        RuntimeError("a bug"),
        SystemError("a bug"),
        OSError(errno.ENOSPC, "No space left on device"),
        unexpected_failure("demo", ValueError("a bug")),
    ],
)
def test_other_errors_are_no_shortage(error: BaseException) -> None:
    assert exhausted(error) is None

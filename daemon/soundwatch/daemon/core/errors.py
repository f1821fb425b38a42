"""The one family of errors, and the exit code that each ends the program with.

    SoundwatchError            1   never raised itself; catch this to catch them all
    ├── ConfigError            2   a configuration file or an option is wrong
    ├── ModelError             3   a model file cannot be used
    │   └── ContractError      3   its contract is missing, malformed or contradicted
    ├── SourceError            4   a microphone or a recording cannot be heard
    │   ├── StallError         4   it delivers nothing, though it has not ended
    │   └── SourceUnavailableError      4   what is needed to hear it is not installed: waiting is of no use
    ├── ProviderError          5   the asked-for accelerator is not to be had
    ├── SinkError              6   events cannot be written anywhere any more
    │   └── ReaderClosedError    6   nobody reads there, and never will again
    ├── DataError              7   a data set for training or evaluation is wrong
    ├── VerificationError      8   an export differs from the network it was made from
    ├── StoreError             9   the journal's file cannot be used
    └── ServiceError          11   the service cannot be installed or removed, or does not run

Conventions: a message says what was seen, what was wanted and what to do, in that order, in plain
sentences without a trailing newline. Exit code 0 is success, and also a stop asked for by SIGINT or
SIGTERM; 1 is a bug of ours. Silence, or a sound that is none of the classes, is a value and never an error.
"""

from __future__ import annotations

from typing import ClassVar


class SoundwatchError(Exception):
    """Base of every error that soundwatch raises on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(SoundwatchError):
    """A configuration file or a command-line option is wrong."""

    exit_code: ClassVar[int] = 2


class ModelError(SoundwatchError):
    """A model file is missing, damaged or of the wrong shape."""

    exit_code: ClassVar[int] = 3


class ContractError(ModelError):
    """A model's contract is missing, malformed, inconsistent, or contradicted by the configuration."""


class SourceError(SoundwatchError):
    """A microphone, stream or recording cannot be opened or read."""

    exit_code: ClassVar[int] = 4


class StallError(SourceError):
    """A live source delivers nothing, though it has not ended."""


class SourceUnavailableError(SourceError):
    """What is needed to hear a source is not installed, so waiting for it is of no use."""


class ProviderError(SoundwatchError):
    """The execution provider that was required cannot be used on this machine."""

    exit_code: ClassVar[int] = 5


class SinkError(SoundwatchError):
    """No place is left that events can be written to."""

    exit_code: ClassVar[int] = 6


class ReaderClosedError(SinkError):
    """The reader of a sink has gone for good."""


class DataError(SoundwatchError):
    """A data set is incomplete, malformed or does not hold what was asked for."""

    exit_code: ClassVar[int] = 7


class VerificationError(SoundwatchError):
    """An exported model does not compute what its source computes."""

    exit_code: ClassVar[int] = 8


class StoreError(SoundwatchError):
    """The journal's file cannot be opened, is another program's, or is in use.

    Args:
        message: What was seen, wanted and to do.
        in_use: Whether another program writes to it.
    """

    exit_code: ClassVar[int] = 9

    def __init__(self, message: str, *, in_use: bool = False) -> None:
        super().__init__(message)
        self.in_use = in_use


class ServiceError(SoundwatchError):
    """soundwatch cannot be made a service of this system, or is none that runs."""

    exit_code: ClassVar[int] = 11

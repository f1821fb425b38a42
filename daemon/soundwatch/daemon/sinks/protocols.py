"""Protocols that sinks implement, and the status of a sink."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.journal.entry import JournalEntry

SinkState = Literal["working", "failing", "gone"]


class LineWriter(Protocol):
    """A destination of single lines; a replay writes to it."""

    @property
    def name(self) -> str:
        """Name in the log."""

    def write(self, line: bytes) -> None:
        """Write one line and flush it.

        Raises:
            OSError: The line could not be written; the next line may succeed.
        """

    def close(self) -> None:
        """Release resources. A second call does nothing."""


class Sink(Protocol):
    """A destination of the journal's lines. Each sink has its own thread, so `deliver` may wait."""

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Deliver lines in order; when it returns, the lines have been handed over.

        Raises:
            OSError: Some lines may not have arrived; those not settled are delivered again, marked as repeated.
            ReaderClosedError: The reader has gone for good.
        """

    def close(self) -> None:
        """Release resources and interrupt a waiting `deliver`. A second call does nothing."""


@runtime_checkable
class SettlingSink(Protocol):
    """A sink that settles lines within a delivery, so that only later lines are delivered again after a failure.

    Attributes:
        on_settled: Called with the number of each line that has arrived or never will, in order; set by the worker.
    """

    on_settled: Callable[[int], object]


@runtime_checkable
class SkippingSink(Protocol):
    """A sink that leaves out lines which its server refuses for their content, or which are too old.

    Attributes:
        skipped_lines: Number of lines that were left out.
    """

    skipped_lines: int


class WritableSink(Sink, SettlingSink, LineWriter, Protocol):
    """A sink whose `write` may be called from any thread, between deliveries."""


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """Status of a sink.

    Attributes:
        name: Name of the sink.
        state: working, failing, or gone: the reader has left for good.
        reason: Cause of the failure.
        since_unix_ns: Start of the state.
        delivered_seq: Number of the last line that the sink has taken.
        lost_lines: Number of lines that were dropped before the sink could take them.
        skipped_lines: Number of lines that the sink left out, since its server refuses them or they are too old.
    """

    name: str
    state: SinkState = "working"
    reason: str | None = None
    since_unix_ns: int = 0
    delivered_seq: int = 0
    lost_lines: int = 0
    skipped_lines: int = 0


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """Messages of one destination of a rule since the start of the program.

    Attributes:
        sent: Messages that the service has accepted, merged ones as one.
        late: Messages that were merged since they were too old, and digests that a later one replaces.
        refused: Messages that the service has refused, for all recipients or for some, who do not get them.
        last_sent_unix_ns: Time of the last accepted message; None before the first.
    """

    sent: int = 0
    late: int = 0
    refused: int = 0
    last_sent_unix_ns: int | None = None


@dataclass(frozen=True, slots=True)
class RuleTargetStatus:
    """Status of one destination of a rule.

    Attributes:
        sink: Status of the sink that delivers the messages.
        behind_lines: Number of lines that the sink has yet to take.
        counts: Messages so far.
    """

    sink: SinkStatus
    behind_lines: int
    counts: TargetCounts = TargetCounts()


@dataclass(frozen=True, slots=True)
class RuleStatus:
    """Status of a rule.

    Attributes:
        name: Name of the rule.
        enabled: Whether the rule is in force.
        config: The rule, as configured.
        decided: Number of messages that the rule decided to send, in all lines of the journal.
        held: Number of held messages, by the condition that held them.
        last_decided_unix_ns: Time of the last line with a message; None before the first.
        waiting: Number of messages that wait for a clip.
        targets: Status of each destination.
    """

    name: str
    enabled: bool
    config: RuleConfig
    decided: int
    held: Mapping[str, int]
    last_decided_unix_ns: int | None
    waiting: int
    targets: tuple[RuleTargetStatus, ...]

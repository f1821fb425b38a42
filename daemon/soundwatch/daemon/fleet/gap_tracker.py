"""Tracks the received line numbers of each node's journals, and the gaps to request again.

Conventions: a node numbers its lines without gaps, so a gap in the received numbers is a loss in transit. Numbers
belong to one journal; a node whose journal was lost begins a new one. Numbers that a node reports as deleted are lost
for good, and counted. A number that arrives again without the mark of a repetition is a new line: a power failure can
undo the last numbers of a journal.
Bounds: a journal has at most `MAX_RANGES` separate ranges; a line beyond is not taken, and its gap is requested later,
in order. A node has at most `MAX_JOURNALS` journals; the one without changes for the longest time is forgotten. Each
message costs a bounded time, whatever its numbers.
Rule: of a new node, only lines from now on are requested, unless its past was asked for.
Does not: publish requests (`collector.py`), or store the coverage (`store.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Final

from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.journal.seq_ranges import SeqRange, SeqRanges, add_range, contains, gaps
from soundwatch.daemon.sinks.mqtt.fleet import ResendReply, ResendRequest
from soundwatch.daemon.sinks.mqtt.node_report import MAX_SEQ, NodeReport

MAX_JOURNALS: Final = 16
MAX_RANGES: Final = 1000
Key = tuple[str, str]  # a node and one of its journals


@dataclass(frozen=True, slots=True)
class JournalCoverage:
    """Received and lost numbers of one journal.

    Attributes:
        begin: First number that is wanted.
        sent_seq: Last number that the node has sent, by its reports.
        held: Received numbers.
        gone: Numbers that the node has reported as deleted.
    """

    begin: int
    sent_seq: int = 0
    held: SeqRanges = ()
    gone: SeqRanges = ()

    @property
    def holes(self) -> Iterator[SeqRange]:
        """Ranges that are wanted and were sent, and are neither received nor lost."""
        for first, last in gaps(self.held, self.begin, self.sent_seq):
            yield from gaps(self.gone, first, last)

    @property
    def lost_lines(self) -> int:
        """Number of lines that are lost for good."""
        return self.lost_between(self.begin, MAX_SEQ)

    def lost_between(self, first: int, last: int) -> int:
        """Count the lost lines between two numbers, both included."""
        return sum(b - a + 1 for run in _within(self.gone, first, last) for a, b in gaps(self.held, *run))


class GapTracker:
    """Coverage of the journals of all nodes.

    Args:
        known: Coverage that the store has.
        current: Last journal of each node.
        lost: Number of lost lines of each node.
        past: Request the earlier lines of new nodes too.
    """

    def __init__(
        self,
        known: Mapping[Key, JournalCoverage],
        current: Mapping[str, str],
        lost: Mapping[str, int],
        *,
        past: bool = False,
    ) -> None:
        self._journals: dict[str, dict[str, JournalCoverage]] = {}  # the last changed journal at the end
        self._current = {node: journal for node, journal in current.items() if (node, journal) in known}
        self._lost = dict(lost)
        self._past = past
        self._changed: set[Key] = set()
        self._forgotten: set[Key] = set()
        for (node, journal), coverage in known.items():
            self._journals.setdefault(node, {})[journal] = coverage

    def add_line(self, message: LineMessage) -> bool | None:
        """Record a received line.

        Returns:
            True for a new line, False for a repetition, None for a line that would exceed `MAX_RANGES`.
        """
        seq = message.header.seq
        coverage = self._coverage(message.node, message.journal, seq)
        if contains(coverage.held, seq):
            return not message.repeated
        held = add_range(coverage.held, seq, seq)
        if len(held) > MAX_RANGES:
            return None
        begin = coverage.begin if message.repeated else min(coverage.begin, seq)
        lost = -1 if seq >= coverage.begin and contains(coverage.gone, seq) else 0
        changed = replace(coverage, begin=begin, held=held)
        if begin < coverage.begin:
            lost += changed.lost_between(begin, coverage.begin - 1)
        self._put(message.node, message.journal, changed, lost)
        return True

    def add_report(self, node: str, report: NodeReport) -> None:
        """Record the last number that a node has sent."""
        previous = self._current.get(node)
        old = None if previous is None else self._journals[node].get(previous)
        if previous is not None and previous != report.journal and old is not None:  # its lines cannot be requested now
            self._mark_gone(node, previous, old, [(old.begin, old.sent_seq)])
        sent_seq = report.sent_seq or 0
        coverage = self._coverage(node, report.journal, (report.sent_seq or report.last_seq) + 1)
        self._current[node] = report.journal
        if sent_seq > coverage.sent_seq:
            self._put(node, report.journal, replace(coverage, sent_seq=sent_seq))

    def next_request(self, node: str) -> ResendRequest | None:
        """Return the next request to a node; None if no line is missing."""
        journal = self._current.get(node)
        if journal is None:
            return None
        hole = next(self._journals[node][journal].holes, None)
        return None if hole is None else ResendRequest(journal, hole[0] - 1, hole[1])

    def add_reply(self, node: str, reply: ResendReply) -> None:
        """Record a reply: requested numbers that are neither in the reply nor received are lost."""
        coverage = self._journals.get(node, {}).get(reply.journal)
        if coverage is None:
            return
        available: SeqRanges = ()
        for first, last in reply.runs:
            available = add_range(available, first, max(first, last))
        self._mark_gone(node, reply.journal, coverage, gaps(available, reply.after + 1, reply.up_to))

    def lost_lines(self, node: str) -> int:
        """Return the number of a node's lines that are lost for good, at most `MAX_SEQ`."""
        return min(self._lost.get(node, 0), MAX_SEQ)

    def take_changed(self) -> tuple[dict[Key, JournalCoverage], set[Key]]:
        """Return the coverages that have changed since the last call, and the journals forgotten since then."""
        changed = {key: self._journals[key[0]][key[1]] for key in self._changed}
        forgotten, self._forgotten, self._changed = self._forgotten, set(), set()
        return changed, forgotten

    def _coverage(self, node: str, journal: str, begin: int) -> JournalCoverage:
        """Return the coverage of a journal; a new one begins at `begin`, or at 1 if the node was known before."""
        journals = self._journals.setdefault(node, {})
        if journal not in journals:
            coverage = JournalCoverage(begin=1 if self._past or journals else begin)
            self._put(node, journal, coverage)
            self._forget_oldest(node)
        return journals[journal]

    def _forget_oldest(self, node: str) -> None:
        journals = self._journals[node]
        if len(journals) > MAX_JOURNALS:
            oldest = next(journal for journal in journals if journal != self._current.get(node))
            del journals[oldest]
            self._changed.discard((node, oldest))
            self._forgotten.add((node, oldest))

    def _mark_gone(self, node: str, journal: str, coverage: JournalCoverage, lost: Iterable[SeqRange]) -> None:
        """Record ranges as lost, except for received numbers."""
        gone, count = coverage.gone, 0
        for first, last in lost:
            for run in gaps(coverage.held, first, last):
                if len(gone) >= MAX_RANGES:
                    break
                new = list(gaps(gone, *run))
                if not new:
                    continue
                gone = add_range(gone, *run)
                count += sum(b - max(a, coverage.begin) + 1 for a, b in new if b >= coverage.begin)
        self._put(node, journal, replace(coverage, gone=gone), count)

    def _put(self, node: str, journal: str, coverage: JournalCoverage, lost_lines: int = 0) -> None:
        journals = self._journals[node]
        journals.pop(journal, None)
        journals[journal] = coverage
        if lost_lines:
            self._lost[node] = self._lost.get(node, 0) + lost_lines
        self._changed.add((node, journal))
        self._forgotten.discard((node, journal))


def _within(ranges: SeqRanges, first: int, last: int) -> Iterator[SeqRange]:
    """Yield the parts of ranges between two numbers, both included."""
    for place in range(bisect_left(ranges, first, key=itemgetter(1)), len(ranges)):
        if ranges[place][0] > last:
            return
        yield max(first, ranges[place][0]), min(last, ranges[place][1])

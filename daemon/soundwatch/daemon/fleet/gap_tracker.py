"""Who has told what, and what is to be asked for again: no line is lost while its machine's journal has it.

Conventions: a machine's numbers have no holes, so a hole in what has come is a loss on the way. Numbers belong to a
journal; a machine whose journal was lost begins another one. What a machine says it does not have is gone, and counted.
A number that comes again without a mark is another line: a loss of power can take a journal's last numbers back.
Rule: of a machine that is new here, only what comes from now on is wanted, unless its past was asked for.
Does not: publish requests (`collector.py`), or keep accounts (`journal/store.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from soundwatch.daemon.core.seq_ranges import SeqRange, SeqRanges, add_range, contains, gaps
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.sinks.mqtt.fleet import ResendReply, ResendRequest
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport

Key = tuple[str, str]  # a machine and a journal of it


@dataclass(frozen=True, slots=True)
class JournalCoverage:
    """Of one journal.

    Attributes:
        begin: The first number that is wanted.
        sent_seq: The last that its machine says it has sent.
        held: Numbers that are here.
        gone: Numbers that its machine has said it does not have.
    """

    begin: int
    sent_seq: int = 0
    held: SeqRanges = ()
    gone: SeqRanges = ()

    @property
    def holes(self) -> Iterator[SeqRange]:
        """What is wanted and was sent, and neither here nor gone."""
        for first, last in gaps(self.held, self.begin, self.sent_seq):
            yield from gaps(self.gone, first, last)

    @property
    def lost_lines(self) -> int:
        """How many are gone for good."""
        return sum(
            last - first + 1 for gone in self.gone for first, last in gaps(self.held, *gone) if first >= self.begin
        )


class GapTracker:
    """Of all machines.

    Args:
        known: What was kept of earlier times.
        current: Each machine's journal of then.
        past: Whether a new machine's lines of before are wanted too.
    """

    def __init__(
        self, known: Mapping[Key, JournalCoverage], current: Mapping[str, str] | None = None, *, past: bool = False
    ) -> None:
        self._accounts = dict(known)
        self._current = {node: journal for node, journal in (current or {}).items() if (node, journal) in known}
        self._lost: dict[str, int] = {}
        self._past = past
        self._changed: set[Key] = set()
        for (node, _), account in known.items():
            self._lost[node] = self._lost.get(node, 0) + account.lost_lines

    def take(self, said: LineMessage) -> bool:
        """Take account of a line that has come.

        Returns:
            Whether it was not here yet.
        """
        seq = said.told.seq
        account = self._account(said.node, said.journal, seq)
        if contains(account.held, seq):
            return not said.repeated
        begin = account.begin if said.repeated else min(account.begin, seq)
        self._put((said.node, said.journal), replace(account, begin=begin, held=add_range(account.held, seq, seq)))
        return True

    def report(self, node: str, report: NodeReport) -> None:
        """Take account of what a machine says it has sent."""
        before = self._current.get(node)
        if before is not None and before != report.journal:  # nobody can be asked for that one's lines any more
            key = (node, before)
            old = self._accounts[key]
            self._put(key, _without(old, old.begin, old.sent_seq))
        self._current[node] = report.journal
        sent_seq = report.sent_seq or 0
        account = self._account(node, report.journal, (report.sent_seq or report.last_seq) + 1)
        if sent_seq > account.sent_seq:
            self._put((node, report.journal), replace(account, sent_seq=sent_seq))

    def wanted(self, node: str) -> ResendRequest | None:
        """What a machine is to be asked for; None for nothing."""
        journal = self._current.get(node)
        if journal is None:
            return None
        hole = next(self._accounts[node, journal].holes, None)
        return None if hole is None else ResendRequest(journal, hole[0] - 1, hole[1])

    def done(self, node: str, done: ResendReply) -> None:
        """Take account of an answer: what is neither in it nor here is gone."""
        key = (node, done.journal)
        if key in self._accounts:
            there: SeqRanges = ()
            for first, last in done.runs:
                there = add_range(there, first, max(first, last))
            account = self._accounts[key]
            for run in gaps(there, done.after + 1, done.up_to):
                account = _without(account, *run)
            self._put(key, account)

    def lost_lines(self, node: str) -> int:
        """How many lines of a machine are gone for good."""
        return self._lost.get(node, 0)

    def changed(self) -> dict[Key, JournalCoverage]:
        """The accounts that are others than when this was last called."""
        found = {key: self._accounts[key] for key in self._changed}
        self._changed = set()
        return found

    def _account(self, node: str, journal: str, begin: int) -> JournalCoverage:
        key = (node, journal)
        if key not in self._accounts:
            ours = self._past or any(other == node for other, _ in self._accounts)
            self._put(key, JournalCoverage(begin=1 if ours else begin))
        return self._accounts[key]

    def _put(self, key: Key, account: JournalCoverage) -> None:
        before = self._accounts.get(key)
        if before is not None and (before.gone or account.gone):
            self._lost[key[0]] = self._lost.get(key[0], 0) + account.lost_lines - before.lost_lines
        self._accounts[key] = account
        self._changed.add(key)


def _without(account: JournalCoverage, first: int, last: int) -> JournalCoverage:
    """The account once a machine has said that it has no more of these than have come."""
    gone = account.gone
    for run_first, run_last in gaps(account.held, first, last):
        gone = add_range(gone, run_first, run_last)
    return replace(account, gone=gone)

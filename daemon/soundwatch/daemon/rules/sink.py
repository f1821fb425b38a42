"""A rule's messages to one destination, as a sink of the journal.

Conventions: the sink decides about every line itself, and sends the messages of its rule that are due. A line is
settled when all of its messages are, so neither a failure nor a stop sends an earlier message again; after `kill -9`,
the message that was under way may come twice, and those of the last `sinks.worker.STORE_S` seconds.
Rule for an outage: messages older than `max_age_s` are merged into one, so no flood follows. Each is counted.
Rule for digests: of several that are due after an outage, the last one is sent, and the others count as late. The text
is computed once, also where a service takes the digest after many attempts.
Rule for a message that a service refuses: it is lost, counted and logged (`rule_message_refused`). One that it refuses
for some recipients counts as sent, too.
Does not: try again (`sinks/worker.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from soundwatch.daemon.core.time.clock import SECOND_NS
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.rules.clip_wait import DueMessage
from soundwatch.daemon.rules.decide import decide
from soundwatch.daemon.rules.digest import PERIOD_S, digest_line, digest_text
from soundwatch.daemon.rules.message import Message, make_message, merge_messages
from soundwatch.daemon.rules.rule_set import RuleSet
from soundwatch.daemon.rules.sender import MessageRefusedError, MessageSender, RecipientRefusedError
from soundwatch.daemon.rules.state import RulesState, RuleState
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.protocols import TargetCounts

BATCH_LINES: Final = 5000  # all lines of one delivery are merged into one late message


class RuleSink:
    """The messages of one rule to one destination.

    Args:
        name: Name in the log.
        rule: Name of the rule.
        rule_set: The rule, and those that it depends on.
        sender: The destination, open.
        state: State of the rules after the last delivered line.
        view: View of the daemon, whose journal the lines come from.
        now_unix_s: Returns the present time, in seconds since 1970.

    Attributes:
        counts: Messages so far.
    """

    def __init__(
        self,
        name: str,
        rule: str,
        rule_set: RuleSet,
        sender: MessageSender,
        state: RulesState,
        view: DaemonView,
        now_unix_s: Callable[[], float] = time.time,
    ) -> None:
        self._name = name
        self._rule_name = rule
        self._rule = rule_set.rules[rule]
        self._rule_set = rule_set
        self._sender = sender
        self._state = state
        self._view = view
        self._log = view.log
        self._now_unix_s = now_unix_s
        self._digest: tuple[int, str] | None = None  # line and text of a digest that is not settled
        self._settled: set[int] = set()  # messages of lines that are not settled, by the line that was decided on
        self.on_settled: Callable[[int], object] = lambda _: None
        self.counts = TargetCounts()

    @property
    def rule_state(self) -> RuleState:
        """State of the rule after the last delivered line."""
        return self._state.of(self._rule_name)

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Send the messages that are due with these lines.

        Raises:
            OSError: A message may not have arrived.
        """
        late = list[DueMessage]()
        state = self._state
        last_digest_seq = self._last_digest_seq(entries)
        for entry in entries:
            decision = decide(state, entry, self._rule_set)
            due = [one for one in decision.due if one.rule == self._rule_name and one.facts.seq not in self._settled]
            replaced = [one for one in due if self._is_replaced(one, last_digest_seq)]
            if replaced:
                due = [one for one in due if one not in replaced]
                self._settled.update(one.facts.seq for one in replaced)
                self._count_late(len(replaced))
            old = [one for one in due if self._is_late(one)]
            if late and len(old) < len(due):
                self._send_late(late)
                late = []
                self._settle(state)
            late += old
            for one in due:
                if one not in old:
                    self._send(self._message(one), [one])
            state = decision.state
            if not late:
                self._settle(state)
        self._send_late(late)
        self._settle(state)

    def close(self) -> None:
        """Close the destination."""
        self._sender.close()

    def _last_digest_seq(self, entries: Sequence[JournalEntry]) -> int | None:
        """Return the line of the last digest that is due with these lines; None for a rule without digests."""
        if self._rule.when.digest is None:
            return None
        state, last_seq = self._state, None
        for entry in entries:
            decision = decide(state, entry, self._rule_set)
            state = decision.state
            last_seq = next((one.facts.seq for one in decision.due if one.rule == self._rule_name), last_seq)
        return last_seq

    def _is_replaced(self, due: DueMessage, last_digest_seq: int | None) -> bool:
        """Return True for a digest with a later one: in this delivery, or in one to come since a period has passed."""
        digest = self._rule.when.digest
        if digest is None:
            return False
        age_s = self._now_unix_s() - due.due_ns / SECOND_NS
        return due.facts.seq != last_digest_seq or age_s > PERIOD_S[digest.period]

    def _is_late(self, due: DueMessage) -> bool:
        if due.facts.kind == "digest":
            return False  # a digest is about a past period
        return self._now_unix_s() - due.due_ns / SECOND_NS > self._rule.then.max_age_s

    def _settle(self, state: RulesState) -> None:
        """Note that every message of the lines so far was sent, merged or refused."""
        self._state = state
        self._settled.clear()
        self._digest = None
        self.on_settled(state.seq)

    def _message(self, due: DueMessage) -> Message:
        place, now_unix_s = self._rule_set.place, self._now_unix_s()
        if due.facts.kind != "digest":
            return make_message(self._rule, due, self._line(due), place, now_unix_s)
        if self._digest is None or self._digest[0] != due.facts.seq:
            text = digest_text(self._view.journal.store, due.facts, self._rule, place, self._view.config().stats_s)
            self._digest = (due.facts.seq, text)
        line = digest_line(due.facts, self._rule, self._view.node)
        return make_message(self._rule, due, line, place, now_unix_s, self._digest[1])

    def _send_late(self, late: Sequence[DueMessage]) -> None:
        """Send one message for all that are too old."""
        if late:
            lines = [(due, self._line(due)) for due in (late[0], late[-1])]
            message = merge_messages(late, lines, self._rule_set.place, self._now_unix_s())
            self._send(message, late)
            self._count_late(len(late))

    def _count_late(self, messages: int) -> None:
        """Count messages that another one stands for, and log their number."""
        self.counts = replace(self.counts, late=self.counts.late + messages)
        self._log.warning("rule_messages_merged", sink=self._name, rule=self._rule_name, messages=messages)

    def _send(self, message: Message, due: Sequence[DueMessage]) -> None:
        """Send a message, and note that those it stands for are settled."""
        try:
            self._sender.send(message)
        except RecipientRefusedError as error:
            self._note_refused(due, error)
            self._note_sent(due)
        except MessageRefusedError as error:
            self._note_refused(due, error)
        else:
            self._note_sent(due)
        self._settled.update(one.facts.seq for one in due)

    def _note_refused(self, due: Sequence[DueMessage], error: MessageRefusedError) -> None:
        self.counts = replace(self.counts, refused=self.counts.refused + len(due))
        counted = {"messages": len(due), "refused_messages": self.counts.refused}
        self._log.warning("rule_message_refused", sink=self._name, rule=self._rule_name, reason=str(error), **counted)

    def _note_sent(self, due: Sequence[DueMessage]) -> None:
        self.counts = replace(
            self.counts, sent=self.counts.sent + 1, last_sent_unix_ns=round(self._now_unix_s() * SECOND_NS)
        )
        self._log.info("rule_message_sent", sink=self._name, rule=self._rule_name, seq=due[-1].facts.seq)

    def _line(self, due: DueMessage) -> bytes:
        """Return the line that the rule decided on; where the journal has dropped the line, what is known of it."""
        found = self._view.journal.read_after(due.facts.seq - 1, 1)
        if found and found[0].seq == due.facts.seq:
            return found[0].line
        return due.facts.line

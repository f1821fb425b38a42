"""Folds of the journal by the rules: for a restart, for `soundwatch rules test` and for `explain`.

Conventions: a fold begins with the first line of the journal, so every program that folds has equal answers.
Does not: decide (`rules/decide.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.journal.queries.query import LineFilter, read_lines
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.rules.conditions import Condition
from soundwatch.daemon.rules.decide import Decision, decide, explain
from soundwatch.daemon.rules.facts import RULE_LINES, read_facts
from soundwatch.daemon.rules.rule_set import RuleSet
from soundwatch.daemon.rules.state import RulesState


def fold_journal(
    store: JournalStore, rule_set: RuleSet, state: RulesState | None = None
) -> Iterator[tuple[JournalEntry, Decision]]:
    """Yield each line that rules read, after a state, with the decision about the line."""
    state = state or RulesState()
    for entry in read_lines(store, LineFilter(after_seq=state.seq, types=RULE_LINES)):
        decision = decide(state, entry, rule_set)
        state = decision.state
        yield entry, decision


Result = Literal["sent", "held", "not matched"]


class StateCache:
    """States of one set of rules at places in the journal; safe to use from several threads.

    Args:
        store: File of the journal.
        rule_set: The rules.
        read_after: Returns the lines after a number, also those that the file does not have, since its disk is full.
    """

    def __init__(
        self, store: JournalStore, rule_set: RuleSet, read_after: Callable[[int], Sequence[JournalEntry]]
    ) -> None:
        self._store = store
        self._rule_set = rule_set
        self._read_after = read_after
        self._lock = threading.Lock()
        self._latest = RulesState()

    def state_at(self, seq: int) -> RulesState:
        """Return the state after line `seq`; the fold continues from an earlier call where it can.

        Raises:
            sqlite3.Error: The journal cannot be read.
        """
        with self._lock:
            state = self._latest if self._latest.seq <= seq else RulesState()
            for entry, decision in fold_journal(self._store, self._rule_set, state):
                if entry.seq > seq:
                    break
                state = decision.state
            while state.seq < seq and (entries := [entry for entry in self._read_after(state.seq) if entry.seq <= seq]):
                for entry in entries:
                    state = decide(state, entry, self._rule_set).state
            self._latest = state
            return state


@dataclass(frozen=True, slots=True)
class Explanation:
    """Conditions of one rule for one line of an event.

    Attributes:
        rule: Name of the rule.
        seq: Number of the line.
        result: sent, held, or not matched.
        conditions: Conditions with seen and wanted values.
    """

    rule: str
    seq: int
    result: Result
    conditions: tuple[Condition, ...]


def explain_event(store: JournalStore, rule_set: RuleSet, event_id: str) -> list[Explanation]:
    """Explain each rule's decision about an event: its deciding line, or its last line where nothing was decided."""
    found: dict[str, Explanation] = {}
    before = RulesState()
    for entry, decision in fold_journal(store, rule_set):
        for late in decision.verdicts:  # of a message that waited for its clip
            sent = found.get(late.rule)
            if sent is not None and sent.result == "sent" and late.facts.id == event_id and late.reason is not None:
                found[late.rule] = replace(sent, result="held", conditions=(*sent.conditions, late.reason))
        facts = read_facts(entry) if event_id.encode() in entry.line else None
        if facts is not None and facts.id == event_id and facts.kind != "clip":
            undecided = {name for name in rule_set.rules if name not in found or found[name].result == "not matched"}
            for explanation in _explain_line(rule_set, before, entry, decision):
                if explanation.rule in undecided:
                    found[explanation.rule] = explanation
        before = decision.state
    return list(found.values())


def _explain_line(
    rule_set: RuleSet, before: RulesState, entry: JournalEntry, decision: Decision
) -> Iterator[Explanation]:
    """Yield each rule's conditions for a line; a rule may ask what those before it have just sent."""
    verdicts = {verdict.rule: verdict for verdict in decision.verdicts}
    current = before
    for name, rule in rule_set.rules.items():
        verdict = verdicts.get(name)
        result: Result = "not matched" if verdict is None else "sent" if verdict.sent else "held"
        yield Explanation(name, entry.seq, result, explain(name, rule, current, entry, rule_set.place))
        current = replace(current, rules={**current.rules, name: decision.state.of(name)})

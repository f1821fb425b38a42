"""Decisions of the rules: a pure fold over the lines of the journal.

Conventions: a rule decides once for each event, with the first of its lines (start, update, end) for which all of
`when` holds, and then sends or holds. So `min_duration_s` is decided with the first `update` or the `end` that shows
it. A held event is not decided again. An event counts once for `count`; a message starts the count over.
Rule for clips: a rule with `clip: attach` decides as others do, and its message is due with the event's `clip` line, or
with the first later line of `RULE_LINES` after `CLIP_WAIT_S`. A message that is due while a schedule mutes the rule is
held; quiet hours are those of the decision.
Rule for restarts: the state follows from the lines alone, as if the rules in force had always been in force.
Does not: read a clock, or deliver (`rules/sink.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.rules.clip_wait import CLIPS_OFF, NOT_WRITTEN, DueMessage, note_clip, release
from soundwatch.daemon.rules.conditions import (
    MUTED_CONDITION,
    Condition,
    count_condition,
    is_recent,
    not_when_conditions,
    recent,
    sound_of,
    when_conditions,
)
from soundwatch.daemon.rules.digest import due_digest
from soundwatch.daemon.rules.facts import LineFacts, read_facts, read_time
from soundwatch.daemon.rules.rule_set import RuleSet
from soundwatch.daemon.rules.state import RulesState, RuleState

ACTIVE_IDS: Final = 1000  # events whose end was lost with a damaged journal must not add up


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision of a rule about a line.

    Attributes:
        rule: Name of the rule.
        facts: Facts of the line; of the event's line for a message that is held after it waited for its clip.
        reason: Condition that holds the message; None if it is sent.
    """

    rule: str
    facts: LineFacts
    reason: Condition | None

    @property
    def sent(self) -> bool:
        """Return True if a message is sent."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Decision:
    """Result of one line.

    Attributes:
        state: State after the line.
        verdicts: Decisions about the line.
        due: Messages that are due with the line.
    """

    state: RulesState
    verdicts: tuple[Verdict, ...] = ()
    due: tuple[DueMessage, ...] = ()


def decide(state: RulesState, entry: JournalEntry, rule_set: RuleSet) -> Decision:
    """Decide about one line.

    Args:
        state: State after the line before.
        entry: The line.
        rule_set: The rules.
    """
    state, digests = _digests(state, entry, rule_set)
    decision = _decide_line(state, entry, rule_set)
    if digests:
        due = tuple(DueMessage(verdict.rule, verdict.facts) for verdict in digests if verdict.sent)
        return replace(decision, verdicts=(*digests, *decision.verdicts), due=(*due, *decision.due))
    return decision


def _digests(state: RulesState, entry: JournalEntry, rule_set: RuleSet) -> tuple[RulesState, list[Verdict]]:
    """Return the state after the digests that a line makes due, and the decisions about them."""
    wanted = [name for name, rule in rule_set.rules.items() if rule.when.digest is not None]
    unix_ns = read_time(entry) if wanted else None
    if unix_ns is None:
        return state, []
    states, verdicts = dict(state.rules), list[Verdict]()
    for name in wanted:
        rule = rule_set.rules[name]
        own, facts = due_digest(rule, state.of(name), entry.seq, unix_ns, rule_set.place)
        if facts is not None:
            reason = _holding_condition(name, rule, state, facts, rule_set.place)
            own = _sent(rule, own, facts, waits=False) if reason is None else _held(own, facts, reason)
            verdicts.append(Verdict(name, facts, reason))
        states[name] = own
    return replace(state, rules=states), verdicts


def _decide_line(state: RulesState, entry: JournalEntry, rule_set: RuleSet) -> Decision:
    facts = read_facts(entry)
    if facts is None:
        return _pass_time(state, entry)
    if facts.kind == "muted":
        state = replace(state, muted=tuple(name for name in facts.muted_rules if name in rule_set.mutable))
    before = state
    states, verdicts, due = dict(state.rules), list[Verdict](), list[DueMessage]()
    for name, rule in rule_set.rules.items():
        old = before.of(name)
        noted = old if rule.then.clip == "none" else note_clip(old, facts)
        own, ready, withdrawn = release(name, noted, facts.unix_ns, facts, muted=name in before.muted)
        due += ready
        verdicts += [Verdict(name, waited, MUTED_CONDITION) for waited in withdrawn]
        # rules that were decided before this one in the configuration have sent already
        after, verdict = _decide_rule(name, rule, replace(before, rules=states | {name: own}), facts, rule_set)
        if verdict is not None:
            verdicts.append(verdict)
            if verdict.sent and facts.id not in after.waiting:
                due.append(_due_at_once(name, rule, own, facts, rule_set))
        if after is not old:
            states[name] = after
    return Decision(replace(before, rules=states, seq=entry.seq), tuple(verdicts), tuple(due))


def explain(
    name: str, rule: RuleConfig, state: RulesState, entry: JournalEntry, place: PlaceConfig
) -> tuple[Condition, ...]:
    """Return all conditions of a rule for a line, in the state before the line; none for a line without facts."""
    facts = read_facts(entry)
    if facts is None:
        return ()
    when = tuple(when_conditions(rule, facts, place))
    own = state.of(name)
    counted = _count(rule, own, facts) if all(condition.passes for condition in when) else own
    return (
        *when,
        *count_condition(rule, counted, facts),
        *not_when_conditions(name, rule, state, facts, place),
    )


def _decide_rule(
    name: str, rule: RuleConfig, state: RulesState, facts: LineFacts, rule_set: RuleSet
) -> tuple[RuleState, Verdict | None]:
    """Return the state of a rule after a line, and its verdict; None for none."""
    own, place = state.of(name), rule_set.place
    decidable = facts.kind != "clip" and facts.id not in own.decided_ids
    if decidable and all(condition.passes for condition in when_conditions(rule, facts, place)):
        own = _count(rule, own, facts)
        if all(condition.passes for condition in count_condition(rule, own, facts)):
            current = replace(state, rules=dict(state.rules) | {name: own})
            reason = _holding_condition(name, rule, current, facts, place)
            waits = rule.then.clip == "attach" and rule_set.gives_clip(facts)
            own = _sent(rule, own, facts, waits=waits) if reason is None else _held(own, facts, reason)
            return _forget(own, facts), Verdict(name, facts, reason)
    return _forget(own, facts), None


def _holding_condition(
    name: str, rule: RuleConfig, state: RulesState, facts: LineFacts, place: PlaceConfig
) -> Condition | None:
    """Return the first condition of `not_when` that holds a message; None if none does."""
    return next((found for found in not_when_conditions(name, rule, state, facts, place) if not found.passes), None)


def _count(rule: RuleConfig, own: RuleState, facts: LineFacts) -> RuleState:
    """Count an event, once."""
    if rule.when.count is None or facts.id in own.counted_ids:
        return own
    counted = (*recent(own.counted, facts.unix_ns, rule.when.count.within_s), facts.unix_ns)
    return replace(own, counted=counted, counted_ids=_with(own.counted_ids, facts.id))


def _due_at_once(name: str, rule: RuleConfig, own: RuleState, facts: LineFacts, rule_set: RuleSet) -> DueMessage:
    """Return the message of a rule that does not wait: its clip came before, or it has none."""
    if rule.then.clip == "none" or facts.id is None:
        return DueMessage(name, facts)
    path = own.clips.get(facts.id)
    fault = "" if path is not None else NOT_WRITTEN if rule_set.gives_clip(facts) else CLIPS_OFF
    return DueMessage(name, facts, path, fault)


def _sent(rule: RuleConfig, own: RuleState, facts: LineFacts, *, waits: bool) -> RuleState:
    now_ns = facts.unix_ns
    last_sent = {
        sound: time_ns
        for sound, time_ns in own.last_sent.items()
        if is_recent(time_ns, now_ns, rule.not_when.cooldown_s)
    }
    waits = waits and facts.id is not None and facts.id not in own.clips
    return replace(
        own,
        counted=(),
        decided_ids=_with(own.decided_ids, facts.id),
        sent=(*recent(own.sent, now_ns, rule.then.limit.within_s), now_ns),
        last_sent=last_sent | {sound_of(facts): now_ns},
        last_sent_ns=now_ns,
        waiting={**own.waiting, str(facts.id): facts} if waits else own.waiting,
        sent_total=own.sent_total + 1,
    )


def _held(own: RuleState, facts: LineFacts, reason: Condition) -> RuleState:
    held = {**own.held, reason.key: own.held.get(reason.key, 0) + 1}
    return replace(own, decided_ids=_with(own.decided_ids, facts.id), held=held)


def _pass_time(state: RulesState, entry: JournalEntry) -> Decision:
    """Return the messages that the time of a line without facts makes due."""
    waits = any(own.waiting for own in state.rules.values())
    unix_ns = read_time(entry) if waits else None
    if unix_ns is None:
        return Decision(replace(state, seq=entry.seq))
    released = {name: release(name, own, unix_ns, muted=name in state.muted) for name, own in state.rules.items()}
    due = tuple(message for _, ready, _ in released.values() for message in ready)
    verdicts = tuple(
        Verdict(name, waited, MUTED_CONDITION) for name, (_, _, withdrawn) in released.items() for waited in withdrawn
    )
    rules = {name: own for name, (own, _, _) in released.items()}
    return Decision(replace(state, rules=rules, seq=entry.seq), verdicts, due)


def _forget(own: RuleState, facts: LineFacts) -> RuleState:
    """Forget an event with its end."""
    if facts.kind != "ended" or (facts.id not in own.decided_ids and facts.id not in own.counted_ids):
        return own
    ended = {facts.id}
    return replace(own, decided_ids=own.decided_ids - ended, counted_ids=own.counted_ids - ended)


def _with(ids: frozenset[str], id_: str | None) -> frozenset[str]:
    """Return the ids with one more; ids begin with their time, so the oldest are dropped where there are too many."""
    if id_ is None:
        return ids
    return frozenset(sorted(ids | {id_})[-ACTIVE_IDS:])

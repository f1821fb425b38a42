"""Digests that rules send: when one is due, and its text.

Conventions: a digest is due with the first line of `RULE_LINES` at or after its time. The state has the time of the
next one, so each time sends at most one, also after a restart or where the clock was set back; times that passed while
the program was off send the last one. A next one that is further away than any can be came from a wrong clock, and is
computed again; the times of the last digests then prevent a second one, as at each start of a machine whose clock
begins in 1970. No first digest is due because the network sets such a clock.
Does not: compute statistics (`statistics/`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal

import msgspec

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.core.time.clock import DAY_S, SECOND_NS, format_utc
from soundwatch.daemon.events.line_head import SCHEMA
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.rules.facts import LineFacts
from soundwatch.daemon.rules.state import RuleState
from soundwatch.daemon.schedule.windows import last_begin, next_begin
from soundwatch.daemon.statistics.digest import last_digest

PERIOD_S: Final[Mapping[Literal["day", "week"], int]] = {"day": DAY_S, "week": 7 * DAY_S}
LONGEST_WAIT_NS: Final = 14 * DAY_S * SECOND_NS  # for the first digest; after it, its period has no line
KEPT_DIGESTS: Final = 4  # of two clocks, a right one and a wrong one


def due_digest(
    rule: RuleConfig, own: RuleState, seq: int, unix_ns: int, place: PlaceConfig
) -> tuple[RuleState, LineFacts | None]:
    """Return the state of a rule at the time of a line, and the facts of a digest that is due; None for none."""
    digest = rule.when.digest
    if digest is None:
        return own, None
    furthest_ns = (PERIOD_S[digest.period] + DAY_S) * SECOND_NS
    if own.digest_ns is not None and 0 < own.digest_ns - unix_ns <= furthest_ns:
        return own, None
    after = replace(own, digest_ns=next_begin(digest.window, place, unix_ns))
    begin_ns = last_begin(digest.window, place, unix_ns)
    if own.digest_ns is None or own.digest_ns > unix_ns or begin_ns is None or begin_ns in own.digests:
        return after, None
    if not own.digests and unix_ns - own.digest_ns > LONGEST_WAIT_NS:
        return after, None
    return replace(after, digests=(*own.digests, begin_ns)[-KEPT_DIGESTS:]), LineFacts(seq, "digest", unix_ns)


def digest_line(facts: LineFacts, rule: RuleConfig, node: str) -> bytes:
    """Return the line of a digest's message, for outputs that take lines."""
    assert rule.when.digest is not None
    line = {"schema": SCHEMA, "type": "health", "seq": facts.seq, "time": format_utc(facts.unix_ns), "node": node}
    line |= {"source": None, "state": "due", "reason": "digest", "period": rule.when.digest.period}
    return msgspec.json.encode(line) + b"\n"


def digest_text(
    store: JournalStore, facts: LineFacts, rule: RuleConfig, place: PlaceConfig, stats_s: float | None
) -> str:
    """Return the digest of the last day or week that had ended when the message became due.

    Raises:
        sqlite3.Error: The journal cannot be read.
    """
    assert rule.when.digest is not None
    return last_digest(store, rule.when.digest.period, place, facts.unix_ns // SECOND_NS, stats_s)

"""A week of events through five alert rules to an HTTP server that is down for an hour, and for ten hours.

Run `python benchmarks/rules_week.py` (a few minutes); it writes results/rules-week.json.

Conventions: the week is in event time: the rules' clock is that of the line that was written last. Workers, journal
file, HTTP client and server are those of the daemon; their pauses before another try are in real time. In the middle of
the ten hours the outputs are restarted. Every request of the server is matched with a pure fold of the journal, so a
message that was lost or came twice is found.
Does not: run a source or a model.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import msgspec
from harness import Results, Table, machine_of, option_parser, provenance, resident_mb, table, write_results
from rules_week_lines import BEGIN_S, HOUR_S, SOURCES, WEEK_S, event_lines, week_seconds

from soundwatch.daemon.app.rule_outputs import RuleOutputs, prepare_rules
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.rules.history import fold_journal
from soundwatch.daemon.rules.rule_set import RuleSet

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from support.http_service import ServiceAnswer, ServiceRequest, http_service  # noqa: E402
from support.mosquitto import wait_until  # noqa: E402
from support.rule_lines import configured  # noqa: E402
from support.sink_harness import SinkHarness  # noqa: E402

EVENTS: Final = 4000
OUTAGES_S: Final = ((30 * HOUR_S, 31 * HOUR_S), (100 * HOUR_S, 110 * HOUR_S))
RESTART_S: Final = 105 * HOUR_S
REFUSED_CLASS: Final = "gun_shot"  # the server answers 400 to messages about this class
LATE_TITLE: Final = ": late messages"
RULES: Final = """
place: {time_zone: UTC}
rules:
  sirens_at_night:
    when: {classes: [siren], during: [{from: "22:00", to: "06:00"}]}
    not_when: {cooldown_s: 900}
    then: {send: ["webhook:URL"]}
  barks:
    when: {classes: [dog_bark], count: {times: 3, within_s: 1200}}
    then: {send: ["webhook:URL"]}
  work:
    when: {groups: [construction], min_duration_s: 20}
    not_when: {cooldown_s: 600, during: [{from: "22:00", to: "06:00"}]}
    then: {send: ["webhook:URL"], max_age_s: 900}
  loud:
    when: {min_level_dbfs: -25}
    not_when: {cooldown_s: 0}
    then: {send: ["webhook:URL"], limit: {messages: 6, within_s: 3600}}
  everything:
    not_when: {cooldown_s: 300, after: {rule: loud, within_s: 60}}
    then: {send: ["webhook:URL"]}
"""


@dataclass(slots=True)
class Week:
    """Clock and server of the week.

    Attributes:
        now_s: Time since the begin of the week.
        accepted: Rule, number of the line, number of messages and lateness of each accepted request.
        refused: Rule and number of the line of each refused request.
        failed: Number of requests while the server was down.
    """

    now_s: float = 0.0
    accepted: list[tuple[str, int, int, bool]] = field(default_factory=list)
    refused: list[tuple[str, int]] = field(default_factory=list)
    failed: int = 0

    @property
    def is_down(self) -> bool:
        """Return True while the server is down."""
        return _outage(self.now_s) is not None

    def answer(self, request: ServiceRequest) -> ServiceAnswer:
        """Answer a request, and note it."""
        body = msgspec.json.decode(request.body)
        if self.is_down:
            self.failed += 1
            return ServiceAnswer(503)
        late = body["title"].endswith(LATE_TITLE)
        if body["class"] == REFUSED_CLASS and not late:
            self.refused.append((body["rule"], body["seq"]))
            return ServiceAnswer(400)
        self.accepted.append((body["rule"], body["seq"], body["merged"], late))
        return ServiceAnswer()


class Outputs(SinkHarness):
    """Journal and rules of a daemon without sources."""

    def __init__(self, path: Path, text: str, now_unix_s: Callable[[], float]) -> None:
        super().__init__(path, SOURCES)
        config = configured(text)
        self.rule_set = RuleSet(config.rules, config.place)
        self.rules = RuleOutputs(replace(self.view, config=lambda: config), now_unix_s)
        self.rules.apply(prepare_rules(config, self.view))

    def is_settled(self) -> bool:
        """Return True if each output has taken each line."""
        return all(behind == 0 for _, behind in self.rules.sink_statuses())

    def is_failing(self) -> bool:
        """Return True if an output fails."""
        return any(status.state == "failing" for status, _ in self.rules.sink_statuses())

    def settle(self) -> None:
        """Wait until each output has taken each line."""
        self.journal.flush()
        wait_until(self.is_settled)

    def end(self) -> None:
        """End the rules and the journal."""
        self.rules.close()
        self.close()


def run_week(folder: Path, events: int, seed: int, restart: bool) -> dict[str, Any]:
    """Run the week.

    Args:
        folder: Folder of the journal.
        events: Number of events.
        seed: Seed of the events.
        restart: Whether the outputs are restarted in the second outage.
    """
    week, lines = Week(), sorted(event_lines(events, seed), key=lambda line: line.time)
    before_mb, before_s = resident_mb(), time.process_time()
    with http_service(week.answer) as service:
        text = RULES.replace("URL", service.url)

        def opened() -> Outputs:
            return Outputs(folder / "journal.db", text, lambda: BEGIN_S + week.now_s)

        outputs = opened()
        for line, following in pairwise([*lines, None]):
            assert line is not None  # only the last of them is None
            week.now_s = week_seconds(line)
            outputs.journal.append(line)
            next_s = WEEK_S if following is None else week_seconds(following)
            outage = _outage(week.now_s)
            if outage is None:
                outputs.settle()
            elif next_s >= outage[1]:
                wait_until(outputs.is_failing)
                week.now_s = outage[1]
                outputs.settle()
            elif restart and week.now_s < RESTART_S <= next_s:
                outputs.end()
                outputs = opened()
        cpu_s, memory_mb = time.process_time() - before_s, resident_mb() - before_mb
        outputs.end()
    measured = compare(folder / "journal.db", outputs.rule_set, week)
    return measured | {
        "events": events,
        "lines": len(lines),
        "cpu_s": round(cpu_s, 1),
        "memory_mb": round(memory_mb, 1),
    }


def compare(journal: Path, rule_set: RuleSet, week: Week) -> dict[str, Any]:
    """Match the requests of the server with a fold of the journal."""
    due: dict[str, list[int]] = {name: [] for name in rule_set.rules}
    held: dict[str, Counter[str]] = {name: Counter() for name in rule_set.rules}
    before_s, folded = time.process_time(), 0
    store = JournalStore(journal)
    for _, decision in fold_journal(store, rule_set):
        folded += 1
        for verdict in decision.verdicts:
            if verdict.reason is not None:
                held[verdict.rule][verdict.reason.key] += 1
        for message in decision.due:
            due[message.rule].append(message.facts.seq)
    fold_us = (time.process_time() - before_s) / folded * 1e6
    store.close()
    rules = {name: _rule(seqs, name, week) | {"held": dict(held[name])} for name, seqs in due.items()}
    return {"rules": rules, "failed_requests": week.failed, "fold_us_a_line": round(fold_us)}


def _rule(due: Sequence[int], name: str, week: Week) -> dict[str, Any]:
    """Return the counts of one rule; a request stands for its message, and for the `merged` - 1 that are due before."""
    places = {seq: place for place, seq in enumerate(due)}
    arrived, late, late_requests = Counter[int](), 0, 0
    for rule, seq, merged, is_late in week.accepted:
        if rule == name:
            arrived.update(range(places[seq] - merged + 1, places[seq] + 1))
            late += merged * is_late
            late_requests += is_late
    refused = Counter(places[seq] for rule, seq in week.refused if rule == name)
    return {
        "due": len(due),
        "sent": sum(arrived.values()) - late,
        "late": late,
        "late_requests": late_requests,
        "refused": len(refused),
        "lost": sum(not (arrived[place] or refused[place]) for place in range(len(due))),
        "doubled": sum(count - 1 for count in (arrived + refused).values()),
    }


def _outage(at_s: float) -> tuple[float, float] | None:
    return next(((begin_s, end_s) for begin_s, end_s in OUTAGES_S if begin_s <= at_s < end_s), None)


def rules_table(results: Results) -> Table:
    """Return the counts of each rule."""
    rows = []
    for name, rule in results["rules"].items():
        reasons = ", ".join(f"`{key}` {count:,}" for key, count in sorted(rule["held"].items())) or "none"
        late = f"{rule['late']:,} in {rule['late_requests']}" if rule["late"] else "0"
        counts = [f"{rule[key]:,}" for key in ("refused", "lost", "doubled")]
        rows.append((f"`{name}`", f"{rule['due']:,}", f"{rule['sent']:,}", late, *counts, reasons))
    note = (
        f"{results['events']:,} events of {len(SOURCES)} sources in a week of event time, {results['lines']:,} lines. "
        f"The server was down for 1 h and for 10 h ({results['failed_requests']} requests failed), and refused "
        f"messages about `{REFUSED_CLASS}`. Processor time: {results['cpu_s']:.1f} s for journal, five outputs, client "
        f"and server together; {results['fold_us_a_line']} us a line for the decisions of the five rules. Memory: "
        f"{results['memory_mb']:.1f} MB more, for all of them.\n\n{machine_of(results)}"
    )
    headings = ("rule", "due", "sent in time", "late, merged", "refused", "lost", "doubled", "held")
    return table(headings, rows, note)


TABLES: Final = {"rules-week": {"rules-week": rules_table}}


def main() -> None:
    """Measure and write the results."""
    option_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = run_week(Path(folder), EVENTS, seed=0, restart=True)
    write_results("rules-week", provenance("python benchmarks/rules_week.py") | measured, TABLES["rules-week"])


if __name__ == "__main__":
    main()

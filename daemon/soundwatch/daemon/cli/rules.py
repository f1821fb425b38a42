"""`soundwatch rules`: what alert rules would send, why, and one test message."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soundwatch.daemon.cli.options import apply_journal, config_option, stored_journal_option
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.config.rules import RuleConfig
from soundwatch.daemon.core.errors import ConfigError, SinkError, StoreError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.time.clock import format_utc

if TYPE_CHECKING:
    from soundwatch.daemon.journal.store import JournalStore
    from soundwatch.daemon.rules.facts import LineFacts
    from soundwatch.daemon.rules.rule_set import RuleSet


@click.group()
def rules() -> None:
    """Try alert rules on the journal, explain a decision, or send a test message. See docs/rules.md."""


@rules.command("test")
@click.option("--since", default="7d", show_default=True, metavar="WHEN", help="From a time, or an age such as 7d.")
@click.option("--rule", "names", multiple=True, metavar="NAME", help="Only this rule, also where it is not enabled.")
@config_option
@stored_journal_option
def test(since: str, names: tuple[str, ...], config_path: Path | None, journal: str | None) -> None:
    """Print what the rules would have sent, and count what they would have held. Nothing is sent."""
    from soundwatch.daemon.journal.queries.query import parse_filter
    from soundwatch.daemon.rules.history import fold_journal
    from soundwatch.daemon.rules.state import RulesState

    config, store, chosen = _open(config_path, journal, names)
    begin = parse_filter(datetime.now(UTC), since)
    sent, held = Counter[str](), dict[str, Counter[str]]()
    state = RulesState()

    def wanted(facts: LineFacts) -> bool:
        return facts.seq > begin.after_seq and format_utc(facts.unix_ns) >= begin.since

    def print_sent(name: str, facts: LineFacts) -> None:
        if wanted(facts):
            sent[name] += 1
            for line in _message_lines(config, store, name, facts):
                click.echo(printable(line))

    for _, decision in fold_journal(store, chosen):
        state = decision.state
        for verdict in decision.verdicts:
            if verdict.reason is not None and wanted(verdict.facts):
                held.setdefault(verdict.rule, Counter())[verdict.reason.key] += 1
        for due in decision.due:
            print_sent(due.rule, due.facts)
    for name, own in state.rules.items():
        for facts in own.waiting.values():  # for a clip that has not come yet
            print_sent(name, facts)
    for name in chosen.rules:
        reasons = ", ".join(f"{key} {count}" for key, count in held.get(name, Counter()).most_common()) or "none"
        click.echo(f"{name}: {sent[name]} would have been sent; held: {reasons}")


@rules.command("explain")
@click.argument("event_id", metavar="ID")
@config_option
@stored_journal_option
def explain(event_id: str, config_path: Path | None, journal: str | None) -> None:
    """Show why an event did or did not send, rule by rule and condition by condition."""
    from soundwatch.daemon.journal.queries.events import find_event_row
    from soundwatch.daemon.rules.history import explain_event

    config, store, chosen = _open(config_path, journal, ())
    if find_event_row(store, event_id) is None:
        raise StoreError(
            f"The journal has no event {event_id}. `soundwatch tail --type start --format json` prints ids."
        )
    for found in explain_event(store, chosen, event_id):
        click.echo(printable(f"{found.rule}: {found.result} (line {found.seq})"))
        for condition in found.conditions:
            click.echo(printable(f"  {condition.text}"))
    for name, rule in config.rules.items():
        if not rule.enabled:
            click.echo(f"{name}: not enabled")


@rules.command("send-test")
@click.argument("name", metavar="NAME")
@config_option
@stored_journal_option
def send_test(name: str, config_path: Path | None, journal: str | None) -> None:
    """Send one test message to each output of a rule."""
    from soundwatch.daemon.app.sample_delivery import send_test_message

    config = _config_with_rules(config_path, journal)
    contract = _check(config)
    _choose(config, (name,))
    failures = 0
    for target, error in send_test_message(config, contract, name):
        failures += error is not None
        click.echo(printable(f"{target}: {'accepted' if error is None else error}"))
    if failures:
        raise SinkError(f"{failures} of {len(config.rules[name].then.send)} outputs of the rule {name} failed.")


def _message_lines(config: Config, store: JournalStore, name: str, facts: LineFacts) -> list[str]:
    """Return the lines of a message of a rule, without its clip."""
    from soundwatch.daemon.rules.clip_wait import DueMessage
    from soundwatch.daemon.rules.digest import digest_text
    from soundwatch.daemon.rules.message import local_time, make_message

    rule = config.rules[name]
    text = ""
    if facts.kind == "digest":
        text = "\n" + digest_text(store, facts, rule, config.place, config.stats_s)
    found = store.read_after(facts.seq - 1, 1)
    line = found[0].line if found and found[0].seq == facts.seq else facts.line
    message = make_message(rule, DueMessage(name, facts), line, config.place, time.time(), text)
    when = local_time(config.place, facts.unix_ns / 1e9).isoformat(" ", "seconds")
    lines = f"{when}  {name}  {message.title}: {message.body}".splitlines()
    return lines if facts.id is None else [f"{lines[0]}  {facts.id}", *lines[1:]]


def _open(path: Path | None, journal: str | None, names: tuple[str, ...]) -> tuple[Config, JournalStore, RuleSet]:
    """Return the configuration, the journal, and the chosen rules; a source of the journal need not be configured.

    Raises:
        ConfigError: A rule is wrong, or a name is unknown.
        StoreError: The journal cannot be read.
    """
    from soundwatch.daemon.journal.location import open_for_reading
    from soundwatch.daemon.journal.queries.query import known_sources
    from soundwatch.daemon.rules.rule_set import rules_of

    config = _config_with_rules(path, journal)
    store = open_for_reading(config.journal)
    _check(config, known_sources(store))
    return config, store, rules_of(config, _choose(config, names))


def _config_with_rules(path: Path | None, journal: str | None) -> Config:
    """Return the configuration.

    Raises:
        ConfigError: The configuration is wrong, or has no rule.
    """
    config = apply_journal(load_config(path), journal)
    if not config.rules:
        raise ConfigError("The configuration has no `rules`. docs/rules.md has examples; name the file with --config.")
    return config


def _check(config: Config, sources: Collection[str] = ()) -> ModelContract:
    """Check the rules, and return the contract of the model.

    Raises:
        ConfigError: A rule is wrong.
    """
    from soundwatch.daemon.detection.rules import resolve_sources
    from soundwatch.daemon.inference.loading import load_classifier
    from soundwatch.daemon.rules.check import check_rules

    contract = load_classifier(config).contract
    check_rules(config, contract, resolve_sources(config, contract), sources)
    return contract


def _choose(config: Config, names: tuple[str, ...]) -> dict[str, RuleConfig]:
    """Return the enabled rules, or named ones with those that they depend on.

    Raises:
        ConfigError: A name is unknown.
    """
    from soundwatch.daemon.rules.check import closure

    for name in names:
        if name not in config.rules:
            hint = did_you_mean(name, config.rules)
            raise ConfigError(f"{name} is no rule; {hint}known: {', '.join(config.rules)}.")
    if not names:
        return {name: rule for name, rule in config.rules.items() if rule.enabled}
    wanted = {one for name in names for one in closure(config.rules, name)}
    return {name: rule for name, rule in config.rules.items() if name in wanted}

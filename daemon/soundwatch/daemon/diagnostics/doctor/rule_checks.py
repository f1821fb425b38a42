"""Checks of the alert rules and of their outputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import SoundwatchError
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.detection.rules import resolve_sources
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.rules.check import check_rules
from soundwatch.daemon.rules.targets import prepare_target
from soundwatch.daemon.sinks.daemon_view import DaemonView

REMEDY: Final = "Correct `rules` in the configuration; docs/rules.md has recipes."


def check_alert_rules(case: CheckInput) -> Iterator[Finding]:
    """Check that rules can send, and that each output and its secret is there. Nothing is sent."""
    if case.config is None or not case.config.rules:
        return
    try:
        contract = load_classifier(case.config).contract
        check_rules(case.config, contract, resolve_sources(case.config, contract))
    except SoundwatchError as error:
        yield Finding("rules", "fault", str(error), REMEDY)
        return
    with case.view(case.config, contract) as view:
        yield from _outputs(case.config, view)


def _outputs(config: Config, view: DaemonView) -> Iterator[Finding]:
    for name, rule in config.rules.items():
        if not rule.enabled:
            yield Finding("rules", "note", f"{name} is not enabled.")
            continue
        for index, output in enumerate(rule.then.send):
            try:
                target = prepare_target(f"rules.{name}.then.send[{index}]", output, view)
                target.check()
            except (SoundwatchError, OSError) as error:
                yield Finding("rules", "fault", f"{name}: {failure_text(error)}", REMEDY)
            else:
                yield Finding("rules", "ok", f"{name} sends to {target.name}.")

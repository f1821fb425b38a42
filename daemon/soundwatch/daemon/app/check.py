"""Checks a configuration and its outputs without opening them, for `check-config` and for changes of settings.

Conventions: what a running daemon would wait for and try again is an error here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from soundwatch.daemon.app.outputs import prepare_all
from soundwatch.daemon.app.rule_outputs import prepare_rules
from soundwatch.daemon.core.config import Config, node_name
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.detection.rules import SourceRules, check_detectable, resolve_sources
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.sqlite import MEMORY
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.rules.check import check_rules
from soundwatch.daemon.sinks.daemon_view import ActiveModel, DaemonView
from soundwatch.daemon.sinks.kinds import is_page
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.log import StructuredLogger


def check_config(config: Config, contract: ModelContract) -> dict[str, SourceRules]:
    """Check a configuration against a model, as `soundwatch check-config` does.

    Returns:
        Rules by source; `COMMON` is one of them.

    Raises:
        ConfigError: A class, a sink or a rule is wrong.
        SinkError: A sink cannot be opened.
    """
    sources = resolve_sources(config, contract)
    check_detectable(sources)
    check_outputs(config, contract, sources)
    return sources


def check_outputs(config: Config, contract: ModelContract, in_force: Mapping[str, SourceRules]) -> None:
    """Check every sink and every alert rule of a configuration.

    Args:
        config: The configuration.
        contract: Contract of the model.
        in_force: Rules of detection by source, as `resolve_sources` returns them.

    Raises:
        ConfigError: A sink is unknown or its options are wrong, two sinks have one place, or a rule is wrong.
        SinkError: A sink cannot be opened.
    """
    check_rules(config, contract, in_force)
    with detached_view(config, contract) as view:
        for prepared in prepare_all([text for text in config.sinks if not is_page(text)], view):
            prepared.check()
        for target in prepare_rules(config, view).values():
            target.target.check()


@contextlib.contextmanager
def detached_view(config: Config, contract: ModelContract) -> Iterator[DaemonView]:
    """Provide the view of a daemon that does not run, with an empty journal in memory and no log."""
    log, limits = StructuredLogger("error", lambda _: None), RetentionLimits(1.0, 1_000_000)
    with contextlib.closing(Journal(JournalStore(MEMORY), limits, node_name(config), log)) as journal:
        model = ActiveModel(contract, "", contract.thresholds)
        yield DaemonView(
            node=node_name(config),
            log=log,
            journal=journal,
            status=StatusTracker(tuple(config.sources)),
            live=LiveFeed(),
            config=lambda: config,
            model=lambda: model,
            set_listening=lambda _, __: None,
        )

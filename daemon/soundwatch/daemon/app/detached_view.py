"""The view of a daemon that does not run, for checks of outputs and for test messages."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

from soundwatch.daemon.config.config import Config, node_name
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.daemon_view import ActiveModel, DaemonView
from soundwatch.daemon.status.live import LiveFeed
from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.system.log import StructuredLogger


@contextlib.contextmanager
def detached_view(config: Config, contract: ModelContract, running: Collection[str] = ()) -> Iterator[DaemonView]:
    """Provide the view of a daemon that does not run, with an empty journal in memory and no log.

    Args:
        config: The configuration.
        contract: Contract of the model.
        running: Names of the sources; without any, those of the configuration.
    """
    log, limits = StructuredLogger("error", lambda _: None), RetentionLimits(1.0, 1_000_000)
    with contextlib.closing(Journal(JournalStore(MEMORY), limits, node_name(config), log)) as journal:
        model = ActiveModel(contract, "", contract.thresholds)
        yield DaemonView(
            node=node_name(config),
            log=log,
            journal=journal,
            status=StatusTracker(tuple(running or config.sources)),
            live=LiveFeed(),
            config=lambda: config,
            model=lambda: model,
            set_listening=lambda *_, **__: None,
        )

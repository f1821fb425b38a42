"""Rules of detection of every source, with every check of a configuration against its model.

Conventions: `check-config`, a change of settings, a start and a reload all make these checks here.
Does not: check outputs (`app/check.py`).
"""

from __future__ import annotations

from collections.abc import Collection

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.detection.rules import SourceRules, check_detectable, resolve_sources
from soundwatch.daemon.level.watch import watch_thresholds
from soundwatch.daemon.rules.check import check_rules


def checked_sources(config: Config, contract: ModelContract, running: Collection[str] = ()) -> dict[str, SourceRules]:
    """Build the rules of each source; `COMMON` is one of them.

    Args:
        config: The configuration.
        contract: Contract of the model.
        running: Names of the sources of a run, which need not be configured.

    Raises:
        ConfigError: A class, a calibration or an alert rule is wrong, or a source detects nothing.
    """
    sources = resolve_sources(config, contract)
    check_detectable(sources)
    check_rules(config, contract, sources, running)
    watch_thresholds(config.level_classes, contract)
    return sources

"""Checks a configuration and its outputs without opening them, for `check-config` and for changes of settings.

Conventions: what a running daemon would wait for and try again is an error here.
"""

from __future__ import annotations

from collections.abc import Mapping

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.app.outputs import prepare_all
from soundwatch.daemon.app.rule_outputs import prepare_rules
from soundwatch.daemon.capture.raw_pcm import PcmFormat
from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.detection.rules import SourceRules, check_detectable, resolve_sources
from soundwatch.daemon.rules.check import check_rules
from soundwatch.daemon.sinks.kinds import is_page, parse_sink


def check_config(config: Config, contract: ModelContract) -> dict[str, SourceRules]:
    """Check a configuration against a model, as `soundwatch check-config` does.

    Returns:
        Rules by source; `COMMON` is one of them.

    Raises:
        ConfigError: A class, a sink or a rule is wrong.
        SinkError: A sink cannot be opened.
    """
    check_devices(config)
    sources = resolve_sources(config, contract)
    check_detectable(sources)
    check_outputs(config, contract, sources)
    return sources


def check_devices(config: Config) -> None:
    """Check the device and the format of raw samples of every source.

    Raises:
        ConfigError: A device is empty, or a format is malformed or out of range.
    """
    for name, source in config.sources.items():
        if not str(source.device).strip():
            raise ConfigError(f"sources.{name}.device is empty. Write `default`, or a name of `soundwatch devices`.")
        try:
            PcmFormat.parse(source.pcm)
        except ConfigError as error:
            raise ConfigError(f"sources.{name}.pcm: {error}") from error


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
        for page in filter(is_page, config.sinks):
            from soundwatch.daemon.web.settings import check_settings

            check_settings(parse_sink(page), view.node)
        for prepared in prepare_all([text for text in config.sinks if not is_page(text)], view):
            prepared.check()
        for target in prepare_rules(config, view).values():
            target.target.check()

"""Checks a configuration and its outputs without opening them, for `check-config` and for changes of settings.

Conventions: what a running daemon would wait for and try again is an error for `check-config` only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.app.outputs import prepare_all
from soundwatch.daemon.app.reload import check_standard_input, needs_speech_guard
from soundwatch.daemon.app.rule_outputs import prepare_rules
from soundwatch.daemon.app.source_rules import checked_sources
from soundwatch.daemon.capture import check_source
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.certificates import check_certificate, check_checkable
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.detection.rules import SourceRules
from soundwatch.daemon.sinks.kinds import is_page, parse_sink


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """Result of a check.

    Attributes:
        sources: Rules by source; `COMMON` is one of them.
        shadow: Contract of the shadow model; None for none.
    """

    sources: dict[str, SourceRules]
    shadow: ModelContract | None = None


def check_config(config: Config, contract: ModelContract) -> CheckedConfig:
    """Check a configuration against a model, as `soundwatch check-config` does.

    Raises:
        SoundwatchError: `soundwatch run` would refuse the configuration, or a sink cannot be opened.
    """
    check_devices(config)
    sources = checked_sources(config, contract)
    if config.clips.folder is not None:
        from soundwatch.daemon.clips.build import check_clips

        check_clips(config.clips, needs_guard=needs_speech_guard(config))
    shadow = None
    if config.shadow.file is not None:
        from soundwatch.daemon.shadow.build import load_shadow

        shadow = load_shadow(config, contract).contract
    check_outputs(config, contract, openable=True)
    return CheckedConfig(sources, shadow)


def check_devices(config: Config) -> None:
    """Check the device, the format of raw samples and the certificate of every source.

    Raises:
        ConfigError: A device is empty or a malformed address, two sources read standard input, a format is malformed
            or out of range, or a certificate cannot be used.
    """
    check_standard_input(config.sources)
    for name, source in config.sources.items():
        if not str(source.device).strip():
            raise ConfigError(f"sources.{name}.device is empty. Write `default`, or a name of `soundwatch devices`.")
        try:
            PcmFormat.parse(source.pcm)
        except ConfigError as error:
            raise ConfigError(f"sources.{name}.pcm: {error}") from error
        try:
            check_source(source.device)
        except ConfigError as error:
            raise ConfigError(f"sources.{name}: {error}") from error
        try:
            check_certificate(source.certificate)
            check_checkable(source.certificate, source.device)
        except ConfigError as error:
            raise ConfigError(f"sources.{name}.{error}") from error


def check_outputs(
    config: Config, contract: ModelContract, running: Collection[str] = (), *, openable: bool = False
) -> None:
    """Check the words of every sink and of every output of an alert rule, against all of a configuration.

    Args:
        config: The configuration.
        contract: Contract of the model.
        running: Names of the sources of a run, which need not be configured.
        openable: Also check the page, and that each output can be opened now.

    Raises:
        ConfigError: A sink is unknown or its options are wrong, two sinks have one place, or an output is wrong.
        SinkError: A sink cannot be opened.
    """
    with detached_view(config, contract, running) as view:
        sinks = prepare_all([text for text in config.sinks if not is_page(text)], view)
        rules = prepare_rules(config, view)
        if not openable:
            return
        for page in filter(is_page, config.sinks):
            from soundwatch.daemon.web.http.settings import check_settings

            check_settings(parse_sink(page), view.node)
        for prepared in sinks:
            prepared.check()
        for rule in rules.values():
            rule.target.check()

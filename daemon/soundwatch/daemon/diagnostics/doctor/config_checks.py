"""Checks of the configuration and of the model that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import check_against_contract
from soundwatch.daemon.core.errors import ConfigError, SoundwatchError
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.network.redact import redact_sink, redacted_config
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding
from soundwatch.daemon.inference.classifier import unused_provider_reasons
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.inference.providers import CUDA, CardOptions, unavailable_reason
from soundwatch.daemon.sinks.kinds import parse_sink


def check_configuration(case: CheckInput) -> Iterator[Finding]:
    """Check that the configuration is valid, and list its values that differ from the defaults."""
    if case.config is None:
        yield Finding(
            "configuration", "fault", str(case.error), "Correct the file; `soundwatch check-config` checks it."
        )
        return
    where = "no file: all values are the defaults" if case.path is None else str(case.path)
    yield Finding("configuration", "ok", where)
    for key, value in config_differences(case.config):
        yield Finding("configuration", "note", f"{key}: {value}")
    for text in case.config.sinks:
        try:
            parse_sink(text)
        except ConfigError as error:
            yield Finding("configuration", "fault", redact_sink(str(error)), "Correct `sinks` in the configuration.")


def check_model(case: CheckInput) -> Iterator[Finding]:
    """Check that the model opens, and report its provider and the reason if CUDA is not used."""
    if case.config is None:
        return
    wanted = case.config.model
    try:
        model = load_classifier(case.config)
        check_against_contract(case.config, model.contract)
    except SoundwatchError as error:
        yield Finding("model", "fault", str(error), "Correct `model` in the configuration.")
        return
    spec = model.contract.features
    front_end = f"{spec.rate_hz} Hz, windows of {spec.window_ms / 1000:g} s"
    yield Finding("model", "ok", f"{model.contract.identity}, {front_end}: {', '.join(model.contract.labels)}")
    yield Finding("model", "ok", f"run by {model.provider}")
    if model.provider != CUDA and wanted.provider in ("auto", "cuda"):
        reason = (
            unused_provider_reasons(model).get(CUDA)
            or unavailable_reason(CUDA, CardOptions(wanted.device_id))
            or "it was not measured"
        )
        yield Finding("model", "note", f"CUDA is not used: {reason}.")
    if case.config.shadow.file is not None:
        yield _check_shadow(case.config, model.contract)


def _check_shadow(config: Config, first: ModelContract) -> Finding:
    """Check that the second model opens and can run next to the first."""
    from soundwatch.daemon.shadow.build import load_shadow

    try:
        shadow = load_shadow(config, first)
    except SoundwatchError as error:
        return Finding("shadow", "fault", str(error), "Correct `shadow` in the configuration.")
    return Finding("shadow", "ok", f"{shadow.contract.identity} can run next to {first.identity}")


def config_differences(config: Config) -> Iterator[tuple[str, Any]]:
    """Yield the values that differ from the defaults: keys with dots, and values without secrets."""
    values, defaults = msgspec.to_builtins(config), msgspec.to_builtins(Config())
    yield from _differences("", values, defaults, redacted_config(config))


def _differences(at: str, value: Any, default: Any, redacted: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        known = default if isinstance(default, dict) else {}
        for key, item in value.items():
            shown = redacted[key] if isinstance(redacted, dict) else redacted
            yield from _differences(f"{at}.{key}" if at else str(key), item, known.get(key), shown)
    elif value != default:
        yield at, redacted

"""The configuration, where each value comes from, and the model that it names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from soundwatch.daemon.core.config import Config, check_against_contract
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import ConfigError, SoundwatchError
from soundwatch.daemon.core.redact import redact_url
from soundwatch.daemon.diagnostics.finding import CheckInput, Finding
from soundwatch.daemon.inference.classifier import LoadedModel
from soundwatch.daemon.inference.loading import load_classifier
from soundwatch.daemon.inference.providers import CUDA, CardOptions, unavailable_reason
from soundwatch.daemon.sinks.kinds import parse_sink


def check_configuration(case: CheckInput) -> Iterator[Finding]:
    """Whether it reads, and what it says otherwise than the defaults."""
    if case.config is None:
        yield Finding("configuration", "fault", str(case.error), "Mend it; `soundwatch check-config` tries it.")
        return
    where = "no file: everything as by default" if case.path is None else str(case.path)
    yield Finding("configuration", "ok", where)
    for key, value in config_differences(case.config):
        yield Finding("configuration", "note", f"{key}: {value}")
    for text in case.config.sinks:
        try:
            parse_sink(text)
        except ConfigError as error:
            yield Finding("configuration", "fault", str(error), "Correct it in `sinks`.")


def check_model(case: CheckInput) -> Iterator[Finding]:
    """Whether it opens, what it is, what runs it, and why not CUDA."""
    if case.config is None:
        return
    asked = case.config.model
    try:
        model = load_classifier(asked)
        check_against_contract(case.config, model.contract)
    except SoundwatchError as error:
        yield Finding("model", "fault", str(error), "Correct `model` in the configuration.")
        return
    spec = model.contract.features
    front_end = f"{spec.rate_hz} Hz, windows of {spec.window_ms / 1000:g} s"
    yield Finding("model", "ok", f"{model.contract.identity}, {front_end}: {', '.join(model.contract.labels)}")
    yield Finding("model", "ok", f"run by {model.provider}")
    if model.provider != CUDA and asked.provider in ("auto", "cuda"):
        reasons = model.not_taken if isinstance(model, LoadedModel) else {}
        reason = reasons.get(CUDA) or unavailable_reason(CUDA, CardOptions(asked.device_id)) or "it was not measured"
        yield Finding("model", "note", f"CUDA is not used: {reason}.")
    if case.config.shadow.file is not None:
        yield _examined_shadow(case.config, model.contract)


def _examined_shadow(config: Config, first: ModelContract) -> Finding:
    """Whether the second model opens, and can run beside the first."""
    from soundwatch.daemon.shadow.build import load_shadow

    try:
        shadow = load_shadow(config, first)
    except SoundwatchError as error:
        return Finding("shadow", "fault", str(error), "Correct `shadow` in the configuration.")
    return Finding("shadow", "ok", f"{shadow.contract.identity} can run beside {first.identity}")


def config_differences(config: Config) -> Iterator[tuple[str, Any]]:
    """What a configuration says otherwise than the defaults: keys with dots, and values, without passwords."""
    yield from _differences("", msgspec.to_builtins(config), msgspec.to_builtins(Config()))


def _differences(at: str, seen: Any, default: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(seen, dict):
        known = default if isinstance(default, dict) else {}
        for key, value in seen.items():
            yield from _differences(f"{at}.{key}" if at else str(key), value, known.get(key))
    elif seen != default:
        yield at, redact_url(seen) if isinstance(seen, str) and "://" in seen else seen

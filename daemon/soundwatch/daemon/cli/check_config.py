"""`soundwatch check-config` and `soundwatch schema`."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
import yaml

from soundwatch.daemon.cli.options import config_option
from soundwatch.daemon.core.config_file import load_config


@click.command("check-config")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@config_option
def check_config(path: Path | None, config_path: Path | None) -> None:
    """Check a configuration, its model and its sinks, and print all values as YAML, without secrets."""
    from soundwatch.daemon.app.check import check_outputs
    from soundwatch.daemon.core.redact import redacted_config
    from soundwatch.daemon.detection.rules import resolve_rules, thresholds_in_force
    from soundwatch.daemon.inference.classifier import LoadedModel
    from soundwatch.daemon.inference.loading import load_classifier

    config = load_config(path or config_path)
    classifier = load_classifier(config.model, config.detection.tags)
    contract = classifier.contract
    rules = resolve_rules(config, contract)
    check_outputs(config, contract)
    shadow = None
    if config.shadow.file is not None:
        from soundwatch.daemon.shadow.build import load_shadow

        shadow = load_shadow(config, contract)
    click.echo(yaml.safe_dump(redacted_config(config), sort_keys=False, allow_unicode=True), nl=False)
    if isinstance(classifier, LoadedModel):
        click.echo(f"# model.sha256: {classifier.content_sha256}")
    click.echo(f"# model {contract.identity}; thresholds in force:")
    for label, threshold in thresholds_in_force(rules, contract.labels).items():
        click.echo(f"#   {label}: {threshold}")
    if shadow is not None:
        click.echo(f"# shadow {shadow.contract.identity}")


@click.command()
def schema() -> None:
    """Print the JSON Schema that every line of `run` and `replay` satisfies."""
    from soundwatch.daemon.events.schema import json_schema

    click.echo(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2))

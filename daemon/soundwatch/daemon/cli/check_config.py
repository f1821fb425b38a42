"""`soundwatch check-config` and `soundwatch schema`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
import yaml
from click.core import ParameterSource

from soundwatch.daemon.cli.options import GivenPath, config_option
from soundwatch.daemon.config.file import check_rereadable, load_config, parse_config, parse_yaml, read_config
from soundwatch.daemon.core.text.printable import printable

if TYPE_CHECKING:
    from soundwatch.daemon.app.check import CheckedConfig
    from soundwatch.daemon.config.config import Config
    from soundwatch.daemon.core.model.classifier import Classifier
    from soundwatch.daemon.detection.effective import SourceSettings


@click.command("check-config")
@click.argument("path", required=False, type=GivenPath())
@config_option
@click.option("--effective", is_flag=True, help="Print each source's settings in force, and what gave each value.")
@click.option(
    "--migrate",
    is_flag=True,
    help="Write present names in place of former ones. Comments stay, the former file stays in NAME.bak.",
)
@click.option("--json", "as_json", is_flag=True, help="With --effective: one JSON object instead of text.")
def check_config(path: Path | None, config_path: Path | None, effective: bool, as_json: bool, migrate: bool) -> None:
    """Check a configuration, its model and its sinks, and print all values as YAML, without secrets."""
    if as_json and not effective:
        raise click.UsageError("--json prints settings in force: add --effective.")
    if migrate and effective:
        raise click.UsageError("--migrate changes the file, and --effective prints settings: give one of them.")
    named = click.get_current_context().get_parameter_source("config_path") is ParameterSource.COMMANDLINE
    if path is not None and named:
        raise click.UsageError(f"{path} and --config {config_path} are two files: give one of them.")
    from soundwatch.daemon.app.check import check_config as check
    from soundwatch.daemon.inference.loading import load_classifier

    file = path or config_path
    if migrate:
        _migrate(file)
        return
    content = b"" if file is None else read_config(file)
    config = load_config(None) if file is None else parse_config(content, file)
    classifier = load_classifier(config)
    checked = check(config, classifier.contract)
    if effective:
        _echo_effective({name: checked.sources[name].settings for name in config.sources}, as_json=as_json)
        return
    _echo_checked(config, classifier, checked)
    _echo_former_names(content, file)
    click.echo(f"# {'The default configuration' if file is None else printable(str(file))} is valid.")


def _echo_checked(config: Config, classifier: Classifier, checked: CheckedConfig) -> None:
    """Print the configuration without secrets, and the models and thresholds that it gives."""
    from soundwatch.daemon.core.network.redact import redacted_config
    from soundwatch.daemon.detection.rules import COMMON
    from soundwatch.daemon.inference.classifier import LoadedModel

    click.echo(yaml.safe_dump(redacted_config(config), sort_keys=False, allow_unicode=True), nl=False)
    if isinstance(classifier, LoadedModel):
        click.echo(f"# model.sha256: {classifier.content_sha256}")
    click.echo(f"# model {classifier.contract.identity}; thresholds of sources without their own:")
    for label, threshold in checked.sources[COMMON].thresholds.items():
        click.echo(f"#   {label}: {threshold}")
    if checked.shadow is not None:
        click.echo(f"# shadow {checked.shadow.identity}")


def _echo_former_names(content: bytes, file: Path | None) -> None:
    """Print the former names of keys in a file, and how the present ones are written."""
    from soundwatch.daemon.config.migration import former_names

    for key, former, present in former_names(parse_yaml(content, str(file))):
        click.echo(
            f"# {'.'.join(key)}: {former} is the former name of {present}; to write the new one: "
            "soundwatch check-config --migrate FILE"
        )


def _migrate(path: Path | None) -> None:
    """Write present names in place of former ones, and print both."""
    from soundwatch.daemon.config.migration import former_names, migrated
    from soundwatch.daemon.config.write import write_with_copy
    from soundwatch.daemon.config.yaml_edit import edit_yaml

    if path is None:
        raise click.UsageError("--migrate changes a file: give its path.")
    check_rereadable(path)
    content = read_config(path)
    parse_config(content, path)
    tree = parse_yaml(content, str(path))
    names = list(former_names(tree))
    if not names:
        click.echo(f"{path} has no former names.")
        return
    after = edit_yaml(content.decode(), migrated(tree)).encode()
    parse_config(after, path)
    backup = write_with_copy(path, after)
    for key, former, present in names:
        click.echo(f"{'.'.join(key)}: {former} is now {present}")
    click.echo(f"The former file is {backup}.")


def _echo_effective(sources: Mapping[str, SourceSettings], *, as_json: bool) -> None:
    """Print the settings of each source with their origin."""
    from soundwatch.daemon.detection.setting_rows import setting_rows

    rows = {name: setting_rows(settings) for name, settings in sources.items()}
    if as_json:
        tree = {
            name: {row.key: {"value": row.value, "origin": row.origin} for row in own} for name, own in rows.items()
        }
        click.echo(msgspec.json.format(msgspec.json.encode(tree), indent=2))
        return
    for name, own in rows.items():
        width = max(len(row.key) for row in own)
        click.echo(f"{name}:")
        for row in own:
            value = msgspec.json.encode(row.value).decode()
            click.echo(f"  {row.key:{width}}  {value:<8}  {row.origin}")


@click.command()
def schema() -> None:
    """Print the JSON Schema that every line of `run` and `replay` satisfies."""
    from soundwatch.daemon.events.schema import json_schema

    click.echo(msgspec.json.format(msgspec.json.encode(json_schema()), indent=2))

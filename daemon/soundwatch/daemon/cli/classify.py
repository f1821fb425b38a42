"""`soundwatch classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from soundwatch.daemon.cli.options import GivenPath, apply_options, config_option, model_options
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.model.tags import highest_tags
from soundwatch.daemon.core.text.printable import printable, printable_lines


@click.command()
@click.argument("files", nargs=-1, required=True, type=GivenPath())
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object for each file, with the scores of all classes."
)
@config_option
@model_options
def classify(files: tuple[Path, ...], as_json: bool, config_path: Path | None, **model: Any) -> None:
    """Score whole recordings: the mean over their windows, one line for each file, with the highest tags.

    `sample` is a recording that comes with soundwatch.
    """
    from soundwatch.daemon.capture import Recording
    from soundwatch.daemon.capture.demo.sample import recording_path
    from soundwatch.daemon.capture.recordings.containers.search import search_bars
    from soundwatch.daemon.capture.recordings.findings import MONO_KINDS
    from soundwatch.daemon.inference.loading import load_classifier
    from soundwatch.daemon.pipeline.scoring import score_source_and_tags
    from soundwatch.daemon.system.signals import stop_on_signals

    config = apply_options(load_config(config_path), **model)
    classifier = load_classifier(config)
    failures = []
    with stop_on_signals(lambda: None), search_bars():  # the reader ends at its next block
        for path in files:
            try:
                recording = Recording(path.stem, recording_path(path), "fast", 0, measure=True)
                scores, tags = score_source_and_tags(recording, classifier)
            except SourceError as error:
                click.echo(f"soundwatch: {printable_lines(str(error))}", err=True)
                failures.append(error)
                continue
            for kind, advice in recording.findings().items():
                if kind not in MONO_KINDS or classifier.contract.features.channels == 1:
                    click.echo(f"soundwatch: {printable(str(path))}: {advice}", err=True)
            if as_json:
                parts = {"scores": scores} | ({"tags": tags} if tags else {})
                rounded = {key: {name: round(score, 4) for name, score in part.items()} for key, part in parts.items()}
                click.echo(msgspec.json.encode({"file": str(path)} | rounded))
            else:
                click.echo(f"{printable(str(path))}: {_best(scores)}" + (f"; also {_best(tags)}" if tags else ""))
    if failures:
        raise SourceError(f"{len(failures)} of {len(files)} recordings could not be scored.") from failures[-1]


def _best(scores: dict[str, float]) -> str:
    return ", ".join(f"{name} {score:.2f}" for name, score in highest_tags([*scores], [*scores.values()]))

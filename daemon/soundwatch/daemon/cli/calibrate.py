"""`soundwatch calibrate`."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
import msgspec

from soundwatch.daemon.cli.options import (
    GivenPath,
    OutputPath,
    apply_options,
    check_overwrite,
    config_option,
    model_options,
    overwrite_option,
    write_output,
)
from soundwatch.daemon.cli.recording_bar import SourceWithBar
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import is_file
from soundwatch.daemon.core.records.source import Source
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.text.printable import printable

if TYPE_CHECKING:
    from soundwatch.daemon.detection.calibration import Calibration

LONGEST_BACKGROUND_S: Final = 604_800


@click.command()
@click.option(
    "--background",
    type=GivenPath(str),
    required=True,
    metavar="FILE|SECONDS",
    help="A recording of the place without any sound of the classes, or seconds to record now; at least 600 s.",
)
@click.option("--device", default="default", show_default=True, help="The microphone for SECONDS.")
@click.option(
    "--source",
    metavar="NAME",
    help="A source of --config: its device, gain, high-pass and durations apply, and the file is for this source.",
)
@click.option(
    "--target", default="0.5/h", show_default=True, metavar="N/h", help="Limit of false events over all classes."
)
@click.option(
    "--out",
    type=OutputPath(),
    help="Output file. [default: calibration.json or NAME.calibration.json, next to --config]",
)
@overwrite_option
@config_option
@model_options
def calibrate(
    background: str,
    device: str,
    source: str | None,
    target: str,
    out: Path | None,
    overwrite: bool,
    config_path: Path | None,
    **model: Any,
) -> None:
    """Raise thresholds until the background of a place gives at most the given rate of false events."""
    from soundwatch.daemon.app.calibrate import calibrate_from_source

    per_h = _rate_per_h(target)
    config = apply_options(load_config(config_path), **model)
    own = SourceConfig(device=device) if source is None else _configured(config, source)

    path = out or (config_path or Path("config.yaml")).parent / (
        f"{source}.calibration.json" if source else "calibration.json"
    )
    _check_output(path, Path(background))
    check_overwrite(path, overwrite, config_path)
    with _sound(background, own) as sound:

        def warn(advice: str) -> None:
            click.echo(f"soundwatch: {printable(sound.info.description)}: {advice}", err=True)

        found = calibrate_from_source(config, sound, per_h, source, warn)
    _print_result(found)
    content = msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    write_output(path, lambda part: part.write_bytes(content), "--out")
    use = f"detection: {{calibration: {path.name}}}"
    use = f"sources: {{{source}: {{{use}}}}}" if source else use
    click.echo(f"Written to {path}; use it with `{use}` in the configuration.")
    sys.stdout.flush()


@contextmanager
def _sound(background: str, microphone: SourceConfig) -> Iterator[Source]:
    """Open a recording, or a microphone for a number of seconds.

    Raises:
        SoundwatchError: The seconds are too few, or the sound cannot be opened.
    """
    from soundwatch.daemon.capture import Recording, open_source
    from soundwatch.daemon.detection.calibration import MIN_BACKGROUND_S, short_background

    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", background):
        yield Recording("background", Path(background), "fast", 0, measure=True)
        return
    seconds = float(background)
    if seconds < MIN_BACKGROUND_S:
        raise short_background(seconds)
    if seconds > LONGEST_BACKGROUND_S:
        raise ConfigError(f"--background {background}: at most {LONGEST_BACKGROUND_S} s, a week, can be recorded.")
    sound = open_source("background", microphone.device, microphone.channels, microphone.pcm, microphone.certificate)
    click.echo(f"Recording {sound.info.description} for {seconds:g} s; avoid sounds of the classes.", err=True)
    timer = threading.Timer(seconds, sound.stop)
    timer.daemon = True
    timer.start()
    try:
        yield SourceWithBar(sound, seconds) if sys.stderr.isatty() else sound
    finally:
        timer.cancel()


def _rate_per_h(text: str) -> float:
    """Return the rate of `--target`, in events per hour.

    Raises:
        ConfigError: The text is no rate.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)/h", text)
    if found is None:
        raise ConfigError(f"--target {text} is no rate; an example is 0.5/h.")
    return float(found[1])


def _check_output(path: Path, background: Path) -> None:
    """Refuse an output that cannot be written, before the sound is recorded.

    Raises:
        ConfigError: The output is the recording, which it would replace.
        SinkError: The output cannot be written.
    """
    if is_file(path) and is_file(background) and path.samefile(background):
        raise ConfigError(f"--out {path} is the recording of the background. Name another file.")
    place = Path(os.path.realpath(path))  # as `replace_file`, which makes a new file in the folder
    try:
        usable = stat.S_ISREG(place.stat().st_mode) and os.access(place, os.W_OK)
    except OSError as error:
        usable = error.errno == errno.ENOENT
    if not usable or not os.access(place.parent, os.W_OK):
        raise SinkError(f"{path} cannot be written. Give a file in a folder that exists and is yours with --out.")


def _print_result(found: Calibration) -> None:
    click.echo(f"{found.background_h * 60:.1f} minutes of background, {found.model}")
    click.echo(f"{'class':18}threshold  false events  per hour, at most  highest score")
    for label, row in found.classes.items():
        threshold = "never" if row.threshold is None else f"{row.threshold:.2f}"
        click.echo(
            f"{label:18}{threshold:>9}{row.false_events:>14}{row.rate_upper_per_h:>19.2f}{row.highest_score:>15.2f}"
        )


def _configured(config: Config, name: str) -> SourceConfig:
    """Return a configured source.

    Raises:
        ConfigError: The configuration has no such source.
    """
    if name not in config.sources:
        raise ConfigError(
            f"--source {name}: the configuration has no such source; {did_you_mean(name, config.sources)}"
            f"its sources are {', '.join(config.sources)}."
        )
    return config.sources[name]

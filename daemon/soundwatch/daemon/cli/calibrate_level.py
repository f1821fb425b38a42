"""`soundwatch calibrate-level`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from soundwatch.daemon.cli.options import FiniteRange, config_option
from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.records.block import Block


@click.command()
@click.option("--device", default="default", show_default=True, help="A source of --config, a device or a recording.")
@click.option(
    "--level",
    "level_db",
    default=94.0,
    show_default=True,
    type=FiniteRange(50, 150),
    help="Level of the calibrator, in dB.",
)
@click.option(
    "--seconds", default=10, show_default=True, type=click.IntRange(2, 600), help="Seconds of the tone to measure."
)
@config_option
def calibrate_level(device: str, level_db: float, seconds: int, config_path: Path | None) -> None:
    """Find the level of a source's full scale with a sound calibrator (1 kHz, 94 or 114 dB)."""
    from soundwatch.daemon.capture import open_source
    from soundwatch.daemon.level.calibrator import measure_tone

    config = load_config(config_path)
    source = config.sources.get(device, SourceConfig(device=device))
    opened = open_source(device, source.device, source.channels, source.pcm, source.certificate)
    click.echo(f"Measuring the tone on {opened.info.description} for {seconds} s.", err=True)
    try:
        tone = measure_tone((block for block in opened.blocks() if isinstance(block, Block)), seconds)
    finally:
        with contextlib.suppress(OSError):
            opened.stop()
    steady = f"steady within {tone.spread_db:.2f} dB over {tone.seconds} s"
    click.echo(f"{tone.tone_hz:.1f} Hz, {tone.level_dbfs:.2f} dBFS, {steady}")
    name = device if device in config.sources else "NAME"
    click.echo(f"Full scale is {level_db - tone.level_dbfs:.1f} dB. Use it in the configuration:\n")
    click.echo(f"sources:\n  {name}:\n    level_offset_db: {level_db - tone.level_dbfs:.1f}")

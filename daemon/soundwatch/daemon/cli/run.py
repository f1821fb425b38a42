"""`soundwatch run`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from soundwatch.daemon.cli.options import (
    clips_option,
    config_option,
    journal_option,
    model_options,
    sink_option,
    with_clips,
    with_journal,
    with_options,
)
from soundwatch.daemon.config import SourceConfig, load_config


@click.command()
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="NAME",
    help="A source of the configuration, a PortAudio name or index, a file, - (raw PCM), or demo. May be "
    "repeated. [default: all sources of the configuration]",
)
@click.option("--pcm", metavar="FORMAT,RATE,CHANNELS", help="Format of raw PCM on standard input, as s16le,44100,1.")
@click.option("--or-demo", is_flag=True, help="Where there is no microphone at all, say so and run the demo scene.")
@config_option
@sink_option
@journal_option
@clips_option
@model_options
def run(
    devices: tuple[str, ...],
    pcm: str | None,
    or_demo: bool,
    journal: str | None,
    clips_folder: str | None,
    config_path: Path | None,
    sinks: tuple[str, ...],
    **model: Any,
) -> None:
    """Listen, and print what is heard as JSON events, until the sound ends or SIGINT or SIGTERM comes."""
    from soundwatch.daemon.app import choose_sources, run_live
    from soundwatch.daemon.capture.devices import list_devices
    from soundwatch.daemon.logs import open_log

    config = with_journal(with_options(load_config(config_path), sinks=sinks, **model), journal)
    config = with_clips(config, clips_folder)
    log = open_log(config.log)
    sources = choose_sources(config, devices)
    if pcm is not None:
        sources = {name: msgspec.structs.replace(source, pcm=pcm) for name, source in sources.items()}
    if or_demo and not devices and not list_devices():
        log.warning("no microphone on this machine; the demo scene plays instead")
        sources = {"demo": SourceConfig(device="demo")}
    waiting = () if config_path is None else config.sources  # whoever types a device's name is there to correct it
    run_live(config, sources, log, waiting)

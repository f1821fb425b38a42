"""`soundwatch run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from soundwatch.daemon.cli.options import (
    apply_clips,
    apply_journal,
    apply_options,
    clips_option,
    config_option,
    is_interactive_terminal,
    journal_option,
    model_options,
    sink_option,
)
from soundwatch.daemon.core.channels import ChannelSelection
from soundwatch.daemon.core.config import Config, SourceConfig, load_config

if TYPE_CHECKING:
    from soundwatch.daemon.app.reload import RunConfig


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
@click.option(
    "--channels",
    type=click.Choice(["left", "right", "mix", "pair"]),
    help="Which channels of the sources are heard: one, the mean of all, the first two. [default: as configured]",
)
@click.option("--or-demo", is_flag=True, help="Where there is no microphone at all, say so and run the demo scene.")
@click.option("--plain", is_flag=True, help="Print JSON lines on a terminal too, where else a live view is shown.")
@click.option("--web", is_flag=True, help="Serve the page at http://127.0.0.1:8433 too: -F http://127.0.0.1:8433.")
@config_option
@sink_option
@journal_option
@clips_option
@model_options
def run(
    devices: tuple[str, ...],
    pcm: str | None,
    channels: ChannelSelection | None,
    or_demo: bool,
    plain: bool,
    web: bool,
    journal: str | None,
    clips_folder: str | None,
    config_path: Path | None,
    sinks: tuple[str, ...],
    **model: Any,
) -> None:
    """Listen, and tell what is heard until the sound ends or SIGINT or SIGTERM comes.

    That is JSON events, one a line, on standard output; where that is a terminal and -F is not given, a live view.
    """
    from soundwatch.daemon.app.daemon import Daemon
    from soundwatch.daemon.capture.devices import list_devices
    from soundwatch.daemon.system.log_output import open_logger

    def ask() -> RunConfig:
        config = apply_journal(apply_options(load_config(config_path), sinks=sinks, **model), journal)
        if web:
            config = msgspec.structs.replace(config, sinks=(*config.sinks, "http://127.0.0.1:8433"))
        config = apply_clips(config, clips_folder)
        if not plain and not sinks and is_interactive_terminal():
            shown = tuple("terminal" if sink == "json" else sink for sink in config.sinks)
            config = msgspec.structs.replace(config, sinks=shown)
        said = {key: value for key, value in {"pcm": pcm, "channels": channels}.items() if value is not None}
        asked = _asked(config, devices, said, config_path is not None)
        if or_demo and not devices and not list_devices():
            log.warning("no microphone on this machine; the demo scene plays instead")
            asked = replace(asked, sources={"demo": SourceConfig(device="demo")})
        return asked

    with open_logger(load_config(config_path).log) as log:
        Daemon(ask, log).run()


def _asked(config: Config, devices: tuple[str, ...], said: dict[str, Any], configured: bool) -> RunConfig:
    """What is to be listened to, as the command line and the configuration have it."""
    from soundwatch.daemon.app.build import select_sources
    from soundwatch.daemon.app.reload import RunConfig

    sources = select_sources(config, devices)
    sources = {name: msgspec.structs.replace(source, **said) for name, source in sources.items()}
    waiting = config.sources if configured else ()  # whoever types a device's name is there to correct it
    return RunConfig(config, sources, waiting)

"""`soundwatch run`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.file import check_rereadable, load_config, parse_config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.process.memory import limit_heap
from soundwatch.daemon.core.records.channels import ChannelSelection
from soundwatch.daemon.sinks.spec import PAGE_PORT

if TYPE_CHECKING:
    from soundwatch.daemon.app.reload import RunConfig
    from soundwatch.daemon.core.process.logger import Logger

PAGE: Final = f"http://127.0.0.1:{PAGE_PORT}"


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
    help="Channels of the sources to use: one, the mean of all, the first two. [default: as configured]",
)
@click.option("--or-demo", is_flag=True, help="Run the demo scene on a machine without a microphone.")
@click.option("--plain", is_flag=True, help="Print JSON lines on a terminal, instead of the live view.")
@click.option("--web", is_flag=True, help=f"Also serve the page at {PAGE}, as -F {PAGE}.")
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
    """Detect sounds until the sources end, or SIGINT or SIGTERM stops the program.

    Events go to standard output, one JSON object in each line; a terminal without -F shows a live view.
    """
    limit_heap()
    from soundwatch.daemon.app.daemon import Daemon
    from soundwatch.daemon.system.log_output import open_logger

    def read(content: bytes | None = None) -> Config:
        config = (
            load_config(config_path) if content is None or config_path is None else parse_config(content, config_path)
        )
        config = apply_journal(apply_options(config, sinks=sinks, **model), journal)
        if web:
            config = msgspec.structs.replace(config, sinks=(*config.sinks, PAGE))
        config = apply_clips(config, clips_folder)
        if not plain and not sinks and is_interactive_terminal():
            shown = tuple("terminal" if sink == "json" else sink for sink in config.sinks)
            config = msgspec.structs.replace(config, sinks=shown)
        return config

    def run_config(config: Config) -> RunConfig:
        given = {key: value for key, value in {"pcm": pcm, "channels": channels}.items() if value is not None}
        run_config = _run_config(config, devices, given)
        if or_demo and not devices:
            run_config = replace(run_config, sources=_present_or_demo(run_config.sources, log))
        return replace(_without_demo_journal(run_config), path=config_path)

    def reread(content: bytes | None) -> RunConfig:
        if content is None:
            check_rereadable(config_path)
        return run_config(read(content))

    config = read()
    with open_logger(config.log) as log:
        Daemon(run_config(config), reread, log, config_path).run()


def _run_config(config: Config, devices: tuple[str, ...], given: dict[str, Any]) -> RunConfig:
    """Combine the configuration and the options of the command line."""
    from soundwatch.daemon.app.reload import RunConfig, select_sources
    from soundwatch.daemon.capture.source_names import locate_sources

    sources = locate_sources(select_sources(config, devices))
    sources = {name: msgspec.structs.replace(source, **given) for name, source in sources.items()}
    return RunConfig(config, sources, waiting=config.sources)  # a device of the command line must be there


def _present_or_demo(sources: dict[str, SourceConfig], log: Logger) -> dict[str, SourceConfig]:
    """Return the demo scene in place of microphones if this machine has none.

    Other sources are returned as they are. `default` becomes the sound server's source if PortAudio has no device.
    """
    from soundwatch.daemon.capture import source_kind
    from soundwatch.daemon.capture.microphones.inputs import list_inputs

    if any(source_kind(source.device).name != "microphone" for source in sources.values()):
        return sources
    inputs = list_inputs()
    if inputs.portaudio:
        return sources
    if inputs.has_microphone:
        return {
            name: msgspec.structs.replace(source, device="pulse") if source.device == "default" else source
            for name, source in sources.items()
        }
    if any(source.device == device.device for source in sources.values() for device in inputs.server):
        return sources  # a monitor that is named
    log.warning("no_microphone", device="demo", reason=" ".join(inputs.errors) or "No input is listed.")
    return {"demo": SourceConfig(device="demo")}


def _without_demo_journal(run_config: RunConfig) -> RunConfig:
    """Store events of the demo scene in memory only, unless a journal is named."""
    config = run_config.config
    if config.journal.path is not None or any(source.device != "demo" for source in run_config.sources.values()):
        return run_config
    journal = msgspec.structs.replace(config.journal, path="memory")
    return replace(run_config, config=msgspec.structs.replace(config, journal=journal))

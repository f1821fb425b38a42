"""`soundwatch fleet`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import msgspec

from soundwatch.daemon.cli.options import filter_options, is_interactive_terminal, wants_text
from soundwatch.daemon.core.errors import ConfigError

if TYPE_CHECKING:
    from soundwatch.daemon.fleet.collector import Collector
    from soundwatch.daemon.fleet.store import FleetStore
    from soundwatch.daemon.sinks.mqtt.connection import Broker

HERE_LINES = 20

store_option = click.option(
    "--store",
    metavar="STORE",
    envvar="SOUNDWATCH_FLEET_STORE",
    help="Where lines are kept: a file for SQLite, or postgresql://[USER@]HOST[:PORT]/DATABASE. "
    "[default: fleet.db beside the journal]",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="auto is text on a terminal, and elsewhere a JSON object a line.",
)


@click.group()
def fleet() -> None:
    """Many machines, one picture: what daemons with `-F mqtt://HOST,fleet=1` tell a broker."""


@fleet.command()
@click.option(
    "--broker",
    required=True,
    metavar="BROKER",
    envvar="SOUNDWATCH_FLEET_BROKER",
    help="mqtt://HOST[:PORT] or mqtts://HOST[:PORT]; KEY=VALUE after a comma: ca, cert, key, credentials_file. "
    "Credentials also from MQTT_USERNAME and MQTT_PASSWORD.",
)
@store_option
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=365,
    show_default=True,
    help="Older lines are dropped; 0 for never.",
)
@click.option("--past", is_flag=True, help="Of machines that are new here, ask for all that their journals have.")
@click.option("--plain", is_flag=True, help="Print every line as it is kept on a terminal too, not the picture.")
def watch(broker: str, store: str | None, keep_days: float, past: bool, plain: bool) -> None:
    """Gather what all machines tell, keep it, and show it; lines on standard output where that is no terminal."""
    from soundwatch.daemon.core.config import LogConfig
    from soundwatch.daemon.fleet.collector import Collector
    from soundwatch.daemon.fleet.display import RecentEvents, print_lines
    from soundwatch.daemon.system.log_output import open_logger

    reached, opened, latest = _broker(broker), _store(store, writing=True), RecentEvents()
    picture = not plain and is_interactive_terminal()

    def tidy() -> None:
        if keep_days:
            opened.drop_before(datetime.now(UTC) - timedelta(days=keep_days))

    with open_logger(LogConfig()) as log:
        collector = Collector(reached, opened, latest.take if picture else print_lines, log, tidy, past=past)
        _run(collector, lambda ended: _draw(collector, latest, reached, opened, ended) if picture else None)
        opened.close()
        gone = sum(node.lost_lines for node in collector.nodes.values())
        log.info("gathered", machines=len(collector.nodes), **asdict(collector.counts), gone=gone)


@fleet.command()
@store_option
@format_option
def nodes(store: str | None, format_: Literal["auto", "text", "json"]) -> None:
    """List the machines: state, sources, coverage, clock, model, and what is wrong."""
    from soundwatch.daemon.fleet.node_json import node_record
    from soundwatch.daemon.fleet.render import render_text

    now_unix_ns = time.time_ns()
    answers = [node_record(node, now_unix_ns) for node in _store(store).nodes()]
    if wants_text(format_):
        from rich.console import Console

        console = Console()
        for line in render_text(answers):
            console.print(line, soft_wrap=True)
    else:
        for answer in answers:
            click.echo(msgspec.json.encode(answer).decode())


@fleet.command()
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Only this machine.")
@click.option("-n", "--lines", "count", type=click.IntRange(min=0), help="The last so many. [default: 20, or --since]")
@click.option("--out", type=click.Path(path_type=Path), help="A table instead: .jsonl, .csv or .parquet.")
@filter_options
@store_option
@format_option
def events(
    nodes: tuple[str, ...],
    count: int | None,
    out: Path | None,
    store: str | None,
    format_: Literal["auto", "text", "json"],
    **asked: Any,
) -> None:
    """Print what all machines have heard, by its time, or write it to a table."""
    from soundwatch.daemon.cli.tail import format_line
    from soundwatch.daemon.journal import query
    from soundwatch.daemon.sinks.mqtt.topics import topic_segment
    from soundwatch.daemon.tables.writers import resolve_format, write_table

    if (asked["since"] or "").startswith("#"):
        raise ConfigError("--since #SEQ numbers the lines of one machine; a time or an age was wanted.")
    wanted = query.parse_filter(datetime.now(UTC), **asked)
    if count is None and not asked["since"] and out is None:
        count = HERE_LINES
    lines = _store(store).lines(wanted, [topic_segment(node) for node in nodes], count)
    if out is not None:
        write_table((f"{line}\n".encode() for line in lines), out, resolve_format(out, None))
        return
    for line in lines:
        if wants_text(format_):
            said = msgspec.json.decode(line)
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):  # of another release
                line = f"{said['node']:<20}  {format_line(said)}"
        click.echo(line)


def _store(address: str | None, *, writing: bool = False) -> FleetStore:
    """The store that is meant.

    Raises:
        ConfigError: The packages for it are not installed.
    """
    from soundwatch.daemon.core.config import JournalConfig
    from soundwatch.daemon.journal.location import journal_path

    try:
        from soundwatch.daemon.fleet.store import FleetStore
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`soundwatch fleet` needs the Python package {error.name}, which is not installed. Install it with: "
            "pip install 'soundwatch[fleet]'"
        ) from error
    beside = journal_path(JournalConfig())
    assert isinstance(beside, Path)
    if address is None:
        beside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return FleetStore(address or str(beside.with_name("fleet.db")), writing=writing)


def _broker(text: str) -> Broker:
    """The broker that is meant.

    Raises:
        ConfigError: It is none.
    """
    from soundwatch.daemon.sinks.context import parse_options, parse_sink
    from soundwatch.daemon.sinks.mqtt.options import PORTS, BrokerOptions, parse_broker

    spec = parse_sink(text) if text.partition(":")[0] in PORTS else None
    if spec is None:
        raise ConfigError(f"--broker {text} is no broker; mqtt://HOST[:PORT] or mqtts://HOST[:PORT] was wanted.")
    return parse_broker(spec, parse_options(spec, BrokerOptions))


def _run(collector: Collector, show: Callable[[Callable[[], bool]], object]) -> None:
    """Gather in a thread of its own until a signal comes, or the reader has gone.

    Raises:
        OSError: Nobody reads what is printed.
    """
    from soundwatch.daemon.system.signals import stop_on_signals

    failures: list[BaseException] = []

    def gather() -> None:
        try:
            collector.run()
        except BaseException as error:  # noqa: BLE001  # raised again below, where the program can end of it
            failures.append(error)

    thread = threading.Thread(target=gather, name="collector")
    with stop_on_signals(collector.stop):
        thread.start()
        try:
            show(lambda: not thread.is_alive() or collector.stopping)
            thread.join()
        finally:
            collector.stop()
            thread.join()
    if failures:
        raise failures[0]


def _draw(collector: Collector, latest: Any, broker: Broker, store: FleetStore, ended: Callable[[], bool]) -> None:
    from soundwatch.daemon.fleet.display import run_display

    run_display(collector, latest, f"{broker.host}:{broker.port}", store.name, ended)

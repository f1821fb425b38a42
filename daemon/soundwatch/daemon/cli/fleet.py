"""`soundwatch fleet`."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import click
import msgspec

from soundwatch.daemon.cli.options import (
    MOST_LINES,
    FiniteRange,
    GivenPath,
    OutputPath,
    check_overwrite,
    filter_options,
    is_interactive_terminal,
    overwrite_option,
    wants_text,
)
from soundwatch.daemon.core.errors import ConfigError, StoreError
from soundwatch.daemon.core.network.redact import redact_url
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.time.system_zone import check_system_zone

if TYPE_CHECKING:
    from soundwatch.daemon.core.files.renewed import Renewed
    from soundwatch.daemon.fleet.collector import Collector
    from soundwatch.daemon.fleet.store import FleetStore
    from soundwatch.daemon.sinks.mqtt.connection import Broker

DEFAULT_LINES: Final = 20

store_option = click.option(
    "--store",
    metavar="STORE",
    type=GivenPath(str),
    envvar="SOUNDWATCH_FLEET_STORE",
    help="Store of the lines: a file for SQLite, or postgresql://[USER@]HOST[:PORT]/DATABASE. "
    "[default: fleet.db next to the journal]",
)
format_option = click.option(
    "--format",
    "format_",
    type=click.Choice(["auto", "text", "json"]),
    default="auto",
    show_default=True,
    help="auto: text on a terminal, otherwise one JSON object per line.",
)


@click.group()
def fleet() -> None:
    """Collect and show the lines of many nodes with `-F mqtt://HOST,fleet=1`."""
    check_system_zone()


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
    type=FiniteRange(0, 36_500),
    default=365,
    show_default=True,
    help="Older lines are deleted; 0 for never.",
)
@click.option("--past", is_flag=True, help="Also request the earlier lines of new nodes.")
@click.option("--plain", is_flag=True, help="Print lines on a terminal, instead of the view.")
def watch(broker: str, store: str | None, keep_days: float, past: bool, plain: bool) -> None:
    """Collect the lines of all nodes, store and show them; without a terminal, print them on standard output."""
    from soundwatch.daemon.config.config import LogConfig
    from soundwatch.daemon.fleet.collector import Collector
    from soundwatch.daemon.fleet.display import RecentEvents, print_lines
    from soundwatch.daemon.system.log_output import open_logger

    address, fleet_store, recent = _broker(broker), _store(store, writing=True), RecentEvents()
    has_view = not plain and is_interactive_terminal()

    def clean_up() -> None:
        if keep_days:
            fleet_store.drop_old(datetime.now(UTC), timedelta(days=keep_days))

    with open_logger(LogConfig()) as log:
        collector = Collector(address, fleet_store, recent.add if has_view else print_lines, log, clean_up, past=past)
        _run(collector, lambda ended: _draw(collector, recent, address.get(), fleet_store, ended) if has_view else None)
        fleet_store.close()
        lost = sum(node.lost_lines for node in collector.nodes.values())
        log.info("fleet_stopped", nodes=len(collector.nodes), **asdict(collector.counts), lost=lost)


@fleet.command()
@store_option
@format_option
def nodes(store: str | None, format_: Literal["auto", "text", "json"]) -> None:
    """List the nodes: state, sources, coverage, clock, model, problems."""
    from soundwatch.daemon.fleet.node_json import node_record
    from soundwatch.daemon.fleet.render import render_text

    now_unix_ns = time.time_ns()
    records = [node_record(node, now_unix_ns) for node in _store(store).nodes()]
    if wants_text(format_):
        from rich.console import Console

        console = Console()
        for line in render_text(records):
            console.print(line, soft_wrap=True)
    else:
        for record in records:
            click.echo(msgspec.json.encode(record).decode())


@fleet.command()
@click.option("--node", "nodes", multiple=True, metavar="NAME", help="Only this node.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(0, MOST_LINES),
    help="Number of latest lines. [default: 20, or --since]",
)
@click.option("--out", type=OutputPath(), help="Write a table instead: .jsonl, .csv or .parquet.")
@overwrite_option
@filter_options
@store_option
@format_option
def events(
    nodes: tuple[str, ...],
    count: int | None,
    out: Path | None,
    overwrite: bool,
    store: str | None,
    format_: Literal["auto", "text", "json"],
    **filters: Any,
) -> None:
    """Print the events of all nodes in order of time, or write them to a table."""
    from soundwatch.daemon.cli.tail import format_line
    from soundwatch.daemon.journal.queries import query
    from soundwatch.daemon.sinks.mqtt.topics import topic_segment
    from soundwatch.daemon.tables.writers import resolve_format, write_table

    if (filters["since"] or "").startswith("#"):
        raise ConfigError("--since #SEQ is the number of a line of one node; use a time or an age.")
    line_filter = query.parse_filter(datetime.now(UTC), **filters)
    if count is None and not filters["since"] and out is None:
        count = DEFAULT_LINES
    if out is not None:
        check_overwrite(out, overwrite, Path(_store_address(store)))
    lines = _store(store).lines(line_filter, [topic_segment(node) for node in nodes], count)
    if out is not None:
        write_table((f"{line}\n".encode() for line in lines), out, resolve_format(out, None))
        return
    for line in lines:
        if wants_text(format_):
            keys = msgspec.json.decode(line)
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):  # a line of another release
                line = f"{printable(keys['node']):<20}  {format_line(keys)}"
        click.echo(line)


def _store(address: str | None, *, writing: bool = False) -> FleetStore:
    """Open a store; a writer makes the folder of the default one.

    Raises:
        StoreError: The folder cannot be made, or the store cannot be opened.
    """
    from soundwatch.daemon.fleet.store import FleetStore

    place = _store_address(address)
    if address is None and writing:
        try:
            Path(place).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"The folder of {place} cannot be made: {error.strerror}. Give a --store.") from error
    return FleetStore(place, writing=writing)


def _store_address(address: str | None) -> str:
    """Return the address of a store; without one, a file next to the journal."""
    from soundwatch.daemon.config.config import JournalConfig
    from soundwatch.daemon.journal.location import journal_path

    if address is not None:
        return address
    default = journal_path(JournalConfig())
    assert isinstance(default, Path)
    return str(default.with_name("fleet.db"))


def _broker(text: str) -> Renewed[Broker]:
    """Parse the address of a broker.

    Raises:
        ConfigError: The address is invalid.
    """
    from soundwatch.daemon.sinks.kinds import parse_sink
    from soundwatch.daemon.sinks.mqtt.options import BrokerOptions, renewed_broker
    from soundwatch.daemon.sinks.spec import parse_options

    spec = parse_sink(text) if text.partition(":")[0] in ("mqtt", "mqtts") else None
    if spec is None:
        raise ConfigError(
            f"--broker {redact_url(text)} is not a broker; use mqtt://HOST[:PORT] or mqtts://HOST[:PORT]."
        )
    return renewed_broker(spec, parse_options(spec, BrokerOptions))


def _run(collector: Collector, show: Callable[[Callable[[], bool]], object]) -> None:
    """Run the collector in a thread until a signal arrives or its output is closed.

    Raises:
        SinkError: Lines cannot be printed.
    """
    from soundwatch.daemon.system.signals import stop_on_signals

    failures: list[BaseException] = []

    def collect() -> None:
        try:
            collector.run()
        except BaseException as error:  # noqa: BLE001  # raised below, in the main thread
            failures.append(error)

    thread = threading.Thread(target=collect, name="collector")
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


def _draw(collector: Collector, recent: Any, broker: Broker, store: FleetStore, ended: Callable[[], bool]) -> None:
    from soundwatch.daemon.fleet.display import run_display

    run_display(collector, recent, f"{broker.host}:{broker.port}", store.name, ended)

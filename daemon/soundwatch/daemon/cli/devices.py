"""`soundwatch devices`."""

from __future__ import annotations

import click
import msgspec


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array for programs.")
def devices(as_json: bool) -> None:
    """List the microphones that PortAudio has, and how to name each."""
    from soundwatch.daemon.capture.devices import describe, list_devices

    found = list_devices()
    click.echo(msgspec.json.encode(found) if as_json else describe(found))

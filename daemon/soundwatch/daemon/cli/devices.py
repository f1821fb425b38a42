"""`soundwatch devices`."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A JSON array for programs.")
def devices(as_json: bool) -> None:
    """List the microphones that PortAudio has, and how to name each."""
    from soundwatch.daemon.capture.devices import devices_json, devices_text, list_devices

    found = list_devices()
    click.echo(devices_json(found) if as_json else devices_text(found))

"""`soundwatch devices`."""

from __future__ import annotations

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.option(
    "--probe",
    is_flag=False,
    flag_value="default",
    metavar="[NAME]",
    help="Record three seconds from one and check its sound. [default: the default microphone]",
)
def devices(as_json: bool, probe: str | None) -> None:
    """List the microphones that PortAudio finds, and how to name each."""
    from soundwatch.daemon.capture.devices import devices_json, devices_text, list_devices
    from soundwatch.daemon.capture.probe import probe_text, record_probe

    if probe is not None:
        click.echo(probe_text(record_probe(probe)))
        return
    found = list_devices()
    click.echo(devices_json(found) if as_json else devices_text(found))

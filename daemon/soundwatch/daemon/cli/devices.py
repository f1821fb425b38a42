"""`soundwatch devices`."""

from __future__ import annotations

import click

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.text.printable import printable_lines


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
    """List the microphones of PortAudio and the sources of the sound server, and how to name each.

    A list that fails is a line on standard error; exit code 4 if nothing else is listed.
    """
    from soundwatch.daemon.capture.microphones.inputs import inputs_text, list_inputs
    from soundwatch.daemon.capture.microphones.probe import probe_text, record_probe
    from soundwatch.daemon.capture.portaudio.devices import devices_json

    if probe is not None:
        click.echo(probe_text(record_probe(probe)))
        return
    inputs = list_inputs()
    if inputs.errors and not inputs.devices:
        raise SourceError("\n".join(inputs.errors))
    for error in inputs.errors:
        click.echo(printable_lines(str(error)), err=True)
    click.echo(devices_json(inputs.devices) if as_json else inputs_text(inputs))

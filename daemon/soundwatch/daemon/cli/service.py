"""`soundwatch service install`, `status` and `uninstall`."""

from __future__ import annotations

import os

import click

from soundwatch.daemon.core.config import load_config
from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.diagnostics.network_filter import allowed_destinations, drop_in_text, nameservers
from soundwatch.daemon.system.systemd_unit import (
    ServicePaths,
    Step,
    install_steps,
    installed_program,
    render_unit,
    run_quietly,
    run_steps,
    service_paths,
    service_state,
    systemd_available,
    uninstall_steps,
)

user_option = click.option("--user", is_flag=True, help="For this user alone, heard through the user's sound server.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.group()
def service() -> None:
    """Let systemd start soundwatch, watch over it, and start it again."""


@service.command()
@user_option
@dry_run_option
def install(user: bool, dry_run: bool) -> None:
    """Write the unit of this installation, and start it; an older one is replaced."""
    place = service_paths(user)
    unit = render_unit(installed_program(), user)
    network = ""
    if place.config.exists():
        config = load_config(place.config)  # a service that cannot start is none
        # A user's manager may not filter addresses.
        network = "" if user else drop_in_text(allowed_destinations(config), nameservers())
    steps = install_steps(place, unit, run_quietly, network)
    if dry_run:
        _show(steps)
        click.echo(f"\n{place.unit} would be:\n\n{unit}", nl=False)
        if network:
            click.echo(f"\n{place.network} would be:\n\n{network}", nl=False)
        return
    _check_possible(place)
    run_steps(steps, click.echo)
    manage = " ".join(place.systemctl)
    if not user:
        allowed = f"what {place.network} allows" if network else "loopback"
        click.echo(f"It reaches no address but {allowed}. After a change of sinks or sources, run this command again.")
    click.echo(f"soundwatch listens. Its configuration is {place.config}; after a change: {manage} restart soundwatch")
    click.echo(f"What it says: journalctl {'--user ' if user else ''}--unit soundwatch")
    if user:
        click.echo("It ends when you log out; to let it go on: loginctl enable-linger")


@service.command()
@user_option
def status(user: bool) -> None:
    """Say whether the service runs, and what it hears. Exits with 11 if it does not run."""
    place = service_paths(user)
    if not place.unit.exists():
        raise ServiceError(f"There is no {place.unit}. Install the service with `soundwatch service install`.")
    ours = str(installed_program()) in place.unit.read_text(encoding="utf-8")
    click.echo(f"{place.unit} starts {'this' if ours else 'another'} installation with {place.config}")
    _check_answers(place)
    state = service_state(place, run_quietly)
    click.echo(f"{state.get('ActiveState', 'unknown')} ({state.get('SubState', 'unknown')})", nl=False)
    click.echo(f", process {state.get('MainPID', '?')}, restarted {state.get('NRestarts', '?')} times")
    if state.get("StatusText"):
        click.echo(state["StatusText"])
    if state.get("ActiveState") != "active":
        manage = "journalctl --user" if user else "journalctl"
        raise ServiceError(
            f"The service does not run: {state.get('Result', 'unknown')}. `{manage} --unit soundwatch --lines 20` says "
            "why."
        )


@service.command()
@user_option
@dry_run_option
def uninstall(user: bool, dry_run: bool) -> None:
    """Stop the service and remove its unit. What it wrote stays, and a configuration that was changed."""
    place = service_paths(user)
    steps = uninstall_steps(place, run_quietly)
    if dry_run:
        _show(steps)
        return
    _check_possible(place)
    run_steps(steps, click.echo)
    if place.config.exists():
        click.echo(f"{place.config} was changed, and stays.")
    state = "~/.local/state/soundwatch" if user else "/var/lib/soundwatch"
    click.echo(f"What it wrote, if anything, is in {state}.")


def _show(steps: list[Step]) -> None:
    for step in steps:
        if step.said:
            click.echo(f"would {step.said}" if step.said.startswith(("write", "remove")) else f"would run {step.said}")


def _check_possible(place: ServicePaths) -> None:
    if not place.user and os.geteuid():
        raise ServiceError("A service of the whole system is root's to change: put sudo before it, or add --user.")
    _check_answers(place)


def _check_answers(place: ServicePaths) -> None:
    """Refuse where nobody could start the service."""
    if not systemd_available(place, run_quietly):
        raise ServiceError(
            f"systemd does not answer here (`{' '.join(place.systemctl)} show`), so nothing was done. With --dry-run, "
            "`soundwatch service install` prints the unit and what it would do."
        )

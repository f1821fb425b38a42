"""`soundwatch service install`, `status` and `uninstall`."""

from __future__ import annotations

import os

import click

from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.diagnostics.network.network_filter import allowed_destinations, drop_in_text, nameservers
from soundwatch.daemon.system.service_steps import Step, run_steps
from soundwatch.daemon.system.systemd_unit import (
    ServicePaths,
    install_steps,
    installed_program,
    render_unit,
    run_quietly,
    service_paths,
    service_state,
    systemd_available,
    uninstall_steps,
)

user_option = click.option("--user", is_flag=True, help="A service of this user, which uses the user's sound server.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Show the steps without running them.")


@click.group()
def service() -> None:
    """Run soundwatch as a systemd service, with a watchdog and automatic restarts."""


@service.command()
@user_option
@dry_run_option
def install(user: bool, dry_run: bool) -> None:
    """Install the unit of this installation and start it; an older unit is replaced."""
    paths = service_paths(user=user)
    unit = render_unit(installed_program(), user=user)
    network = ""
    if paths.config.exists():
        config = load_config(paths.config)  # the service cannot start with a configuration that is refused here
        # A user's manager may not filter addresses.
        network = "" if user else drop_in_text(allowed_destinations(config), nameservers())
    steps = install_steps(paths, unit, run_quietly, network)
    if dry_run:
        _show(steps)
        click.echo(f"\n{paths.unit} would be:\n\n{unit}", nl=False)
        if network:
            click.echo(f"\n{paths.network} would be:\n\n{network}", nl=False)
        return
    _check_possible(paths)
    run_steps(steps, click.echo)
    manage = " ".join(paths.systemctl)
    if not user:
        allowed = f"the addresses in {paths.network}" if network else "loopback"
        click.echo(f"The service may reach only {allowed}. After a change of sinks or sources, run this command again.")
    click.echo(f"The service runs. Configuration: {paths.config}; after a change: {manage} restart soundwatch")
    click.echo(f"Its log: journalctl {'--user ' if user else ''}--unit soundwatch")
    if user:
        click.echo("The service ends when you log out; to keep it running: loginctl enable-linger")


@service.command()
@user_option
def status(user: bool) -> None:
    """Show the state of the service. Exits with 11 if it does not run."""
    paths = service_paths(user=user)
    if not paths.unit.exists():
        command = f"soundwatch service install{' --user' if user else ''}"
        raise ServiceError(f"There is no {paths.unit}. Install the service with `{command}`.")
    ours = str(installed_program()) in paths.unit.read_text(encoding="utf-8")
    click.echo(f"{paths.unit} starts {'this' if ours else 'another'} installation with {paths.config}")
    _check_systemd(paths)
    state = service_state(paths, run_quietly)
    click.echo(f"{state.get('ActiveState', 'unknown')} ({state.get('SubState', 'unknown')})", nl=False)
    click.echo(f", process {state.get('MainPID', '?')}, restarted {state.get('NRestarts', '?')} times")
    if state.get("StatusText"):
        click.echo(state["StatusText"])
    if state.get("ActiveState") != "active":
        manage = "journalctl --user" if user else "journalctl"
        raise ServiceError(
            f"The service does not run: {state.get('Result', 'unknown')}. For the reason: "
            f"{manage} --unit soundwatch --lines 20"
        )


@service.command()
@user_option
@dry_run_option
def uninstall(user: bool, dry_run: bool) -> None:
    """Stop the service and remove its unit. Its data stays, and so does a changed configuration."""
    paths = service_paths(user=user)
    steps = uninstall_steps(paths, run_quietly)
    if dry_run:
        _show(steps)
        return
    _check_possible(paths)
    run_steps(steps, click.echo)
    if paths.config.exists():
        click.echo(f"{paths.config} was changed and is kept.")
    state = "~/.local/state/soundwatch" if user else "/var/lib/soundwatch"
    click.echo(f"Data of the service, if any, is in {state}.")


def _show(steps: list[Step]) -> None:
    for step in steps:
        if step.description:
            verb = "would" if step.description.startswith(("write", "remove")) else "would run"
            click.echo(f"{verb} {step.description}")


def _check_possible(paths: ServicePaths) -> None:
    if not paths.user and os.geteuid():
        raise ServiceError("Only root may change a service of the system: run this command with sudo, or add --user.")
    _check_systemd(paths)


def _check_systemd(paths: ServicePaths) -> None:
    """Refuse to continue if the service manager does not respond."""
    if not systemd_available(paths, run_quietly):
        raise ServiceError(
            f"systemd does not respond (`{' '.join(paths.systemctl)} show`), so nothing was done. With --dry-run, "
            "`soundwatch service install` prints the unit and the steps."
        )

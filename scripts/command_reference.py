"""The reference of the command line, from the commands themselves, and of exit codes, from the family of errors.

Conventions: commands stand in the order of `soundwatch --help`; a group's commands stand under it.
Does not: depend on how a version of click lays out its help.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

import click
from tables import table
from type_docs import cell

from soundwatch.daemon.cli import COMMANDS
from soundwatch.daemon.cli import soundwatch as group
from soundwatch.daemon.cli.doctor import FAULTY
from soundwatch.daemon.cli.privacy import LEAVES_LOCAL_NETWORK
from soundwatch.daemon.core.errors import SoundwatchError

DONE: Final = "done, or stopped by SIGINT or SIGTERM"
BUG: Final = "a bug, with a traceback"
FOUND: Final = {
    FAULTY: "`soundwatch doctor` has found a fault",
    LEAVES_LOCAL_NETWORK: "`soundwatch privacy audit`: data may leave the local network, or a socket is unexplained",
}


def commands() -> str:
    """Return the usage, description and options of every command."""
    top = click.Context(group, info_name="soundwatch")
    return "\n\n".join(part for name in COMMANDS for part in _command(name, group, top))


def _command(name: str, parent: click.Group, above: click.Context) -> Iterator[str]:
    command = parent.get_command(above, name)
    assert command is not None
    context = click.Context(command, info_name=name, parent=above)
    yield f"{'#' * (2 + context.command_path.count(' ') - 1)} {context.command_path}"
    yield f"    {' '.join([context.command_path, *command.collect_usage_pieces(context)])}"
    yield inspect.cleandoc(command.help or "").replace("\b\n", "").replace("\f", "")
    rows = [_option(param) for param in command.params if isinstance(param, click.Option)]
    if rows:
        yield table(("option", "meaning"), rows)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from _command(below, command, context)


def _option(option: click.Option) -> tuple[str, str]:
    names = ", ".join((*option.opts, *option.secondary_opts))
    shown = option.show_default and option.default is not None
    default = f" [default: {option.default}]" if shown and "[default" not in (option.help or "") else ""
    return cell(f"`{names}`" if option.is_flag else f"`{names} {_value(option)}`"), cell((option.help or "") + default)


def _value(option: click.Option) -> str:
    if option.metavar:
        return option.metavar
    if isinstance(option.type, click.Choice):
        return f"{{{','.join(map(str, option.type.choices))}}}"
    return option.type.name.partition(" ")[0].upper()


def exit_codes() -> str:
    """Format a table of the exit codes, with their errors and meanings."""
    rows = {code: ("", texts) for code, texts in ({0: DONE, 1: BUG} | FOUND).items()}
    for code, errors in codes().items():
        rows[code] = (", ".join(f"`{error.__name__}`" for error in errors), _first_line(errors[0]))
    return table(("code", "error", "meaning"), ((str(code), *rows[code]) for code in sorted(rows)))


def codes() -> dict[int, list[type[SoundwatchError]]]:
    """List the errors of each exit code, the most general first; those of single packages depend on the imports."""
    found: dict[int, list[type[SoundwatchError]]] = {}
    waiting = SoundwatchError.__subclasses__()
    while waiting:
        error = waiting.pop(0)
        if error.__module__.startswith(("soundwatch.daemon.core.", "soundwatch.daemon.config.")):
            found.setdefault(error.exit_code, []).append(error)
        waiting += error.__subclasses__()
    return found


def _first_line(error: type[SoundwatchError]) -> str:
    text = (inspect.getdoc(error) or "").partition("\n")[0].rstrip(".")
    return text[0].lower() + text[1:]

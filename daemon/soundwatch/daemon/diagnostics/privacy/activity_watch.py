"""Comparison of a running daemon's sockets and files with its configuration: `soundwatch privacy audit --watch`.

Conventions: the daemon is the process that writes to the configured journal; its children count as the daemon does.
Open sockets and files are read several times a second, so a shorter connection may be missed. Names in the
configuration are looked up, by this program, since the kernel shows addresses. A connection is explained by its
address and its port.
Does not: see the content of a connection, or the other end of a Unix socket, which stays on this machine.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ServiceError
from soundwatch.daemon.core.network.loopback import parse_ip
from soundwatch.daemon.core.process.reporting import SWITCHES
from soundwatch.daemon.diagnostics.network.configured_hosts import ConfiguredHost, configured_hosts
from soundwatch.daemon.diagnostics.network.network_filter import nameservers
from soundwatch.daemon.diagnostics.privacy.process_table import (
    Endpoint,
    OpenSocket,
    command_of,
    descendants,
    initial_environment,
    open_sockets,
    written_files,
)
from soundwatch.daemon.journal.file.lock import writer_pid
from soundwatch.daemon.journal.location import journal_path
from soundwatch.daemon.sinks.kinds import OUTPUT_KINDS, parse_sink

LOOK_S: Final = 0.2
DNS_PORT: Final = 53
STANDARD: Final = {1: "standard output", 2: "standard error"}
# Devices, and the clients of sound servers that PortAudio and ALSA bring.
SYSTEM_FILES: Final = ("/dev/", "/proc/", "/memfd:", "/anon_hugepage", "/run/systemd/journal/")
SOUND_FILES: Final = (".config/pulse", "/pulse/", "/pulse-", "/jack", "/pipewire")


class WatchFinding(msgspec.Struct, frozen=True, order=True):
    """A socket or file that was open, or a switch of the environment.

    Attributes:
        seen: Description for people.
        explained: Key of the configuration that explains the finding; empty where none does.
    """

    seen: str
    explained: str


class WatchReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was open while the daemon was watched.

    Attributes:
        process: Id of the daemon's process.
        processes: Largest number of processes, the daemon included.
        looks: Number of readings of /proc.
        findings: Findings, each once; those without an explanation first.
    """

    process: int
    processes: int
    looks: int
    findings: tuple[WatchFinding, ...]

    @property
    def unexplained(self) -> tuple[WatchFinding, ...]:
        """Findings that the configuration does not explain."""
        return tuple(finding for finding in self.findings if not finding.explained)


@dataclass(frozen=True, slots=True)
class Explanations:
    """Connections and files that a configuration explains.

    Attributes:
        hosts: Hosts with their addresses.
        servers: Name servers of this machine.
        files: Files and folders that are written to, each with its key.
        programs: Programs of `command:` sinks.
    """

    hosts: tuple[tuple[ConfiguredHost, frozenset[str]], ...]
    servers: tuple[str, ...]
    files: tuple[tuple[Path, str], ...]
    programs: tuple[str, ...]


def find_daemon(config: Config) -> int:
    """Return the process that writes to the configured journal.

    Raises:
        ServiceError: No process writes to the journal.
    """
    path = journal_path(config.journal)
    process = writer_pid(path) if isinstance(path, Path) else None
    if process is None:
        where = f"writes to the journal {path}" if isinstance(path, Path) else "can be found by a journal in memory"
        raise ServiceError(
            f"No running program {where}. Give the options that `soundwatch run` was started with (--config, "
            "--journal), or the number of its process with --process."
        )
    return process


def watch(config: Config, process: int, seconds: float, sleep: Callable[[float], object] = time.sleep) -> WatchReport:
    """Look at a daemon until the time is over or it ends.

    Raises:
        ServiceError: The process does not exist, or this user may not read its state.
        ConfigError: A sink is not valid.
    """
    if not Path("/proc/self/fd").is_dir():
        raise ServiceError("A running program can be watched where there is /proc (Linux); there is none here.")
    found: set[WatchFinding] = set()
    looks = most = 0
    until_s = time.monotonic() + seconds
    try:
        explanations = explain(config, Path(f"/proc/{process}/cwd").readlink())
        found |= set(_reporting(process))
        while looks == 0 or time.monotonic() < until_s:
            processes = descendants(process)
            found |= set(_look(processes, explanations))
            looks, most = looks + 1, max(most, len(processes))
            sleep(LOOK_S)
    except FileNotFoundError as error:
        raise ServiceError(f"There is no process {process}.") from error
    except PermissionError as error:
        raise ServiceError(
            f"This user may not look into process {process}, which belongs to another one. Put sudo before it."
        ) from error
    return WatchReport(
        process=process,
        processes=most,
        looks=looks,
        findings=tuple(sorted(found, key=lambda finding: (bool(finding.explained), finding))),
    )


def explain(config: Config, folder: Path) -> Explanations:
    """Collect what a configuration explains; its names are looked up, its relative paths are the folder's."""
    hosts = tuple((host, _addresses(host)) for host in configured_hosts(config))
    journal = journal_path(config.journal)
    files = [(folder / journal.parent, "journal.path")] if isinstance(journal, Path) else []
    if (clips := clips_folder(config.clips)) is not None:
        files.append((folder / clips, "clips.folder"))
    programs = []
    for text in config.sinks:
        spec = parse_sink(text)
        reach = OUTPUT_KINDS[spec.kind].reach
        if reach == "local" and spec.target:
            files.append((folder / Path(spec.target).expanduser(), f"sink {spec.kind}"))
        elif reach == "program":
            programs.append(spec.target)
    devices = ((name, str(source.device)) for name, source in config.sources.items())
    files += [(Path(device), f"source {name}") for name, device in devices if device.startswith("/")]
    return Explanations(hosts, nameservers(), tuple(files), tuple(programs))


def report_text(report: WatchReport) -> Sequence[str]:
    """Format a report as lines of text."""
    children = report.processes - 1
    lines = [f"Process {report.process} with up to {children} children, looked at {report.looks} times"]
    lines += [f"  {finding.seen}: {finding.explained}" for finding in report.findings if finding.explained]
    if not report.unexplained:
        return [*lines, "Everything that is open is explained by the configuration."]
    lines.append("Not explained by the configuration")
    return [*lines, *(f"  {finding.seen}" for finding in report.unexplained)]


def _reporting(process: int) -> Iterator[WatchFinding]:
    """Yield the libraries whose reporting the daemon's user switched on."""
    environment = initial_environment(process)
    for switch in SWITCHES:
        value = environment.get(switch.variable, "")
        if value and value.lower() not in switch.off_values:
            yield WatchFinding(f"{switch.library} may report: {switch.variable}={value}", "")


def _look(processes: list[int], explanations: Explanations) -> Iterator[WatchFinding]:
    """Yield the sockets and files that are open now."""
    programs = {process for process in processes if set(command_of(process)[:2]) & set(explanations.programs)}
    of_programs = {child for program in programs for child in descendants(program)}
    sockets = {process: open_sockets(process) for process in processes}
    own = {entry.local for entries in sockets.values() for entry in entries if entry.local is not None}
    for process, entries in sockets.items():
        found = [_socket_finding(entry, explanations, own) for entry in entries]
        found += [_file_finding(descriptor, path, explanations) for descriptor, path in written_files(process)]
        for finding in found:
            if finding is not None:
                yield msgspec.structs.replace(finding, explained="sink command") if process in of_programs else finding


def _socket_finding(entry: OpenSocket, explanations: Explanations, own: set[Endpoint]) -> WatchFinding | None:
    if entry.kind == "other":
        return WatchFinding("a socket of a kind that the kernel does not list", "")
    if entry.kind in ("unix", "netlink"):  # they stay on this machine
        return None
    assert entry.local is not None
    if entry.remote is None:
        what = "listens at" if entry.listens else "receives at"
        return WatchFinding(f"{entry.kind} {what} {entry.local}", _listening(entry, explanations))
    if entry.remote in own:
        return None  # both ends are the daemon's
    if key := _listening(entry, explanations):
        return WatchFinding(f"{entry.kind} client of {entry.local}", key)
    return WatchFinding(f"{entry.kind} connection to {entry.remote}", _connection(entry, explanations))


def _listening(entry: OpenSocket, explanations: Explanations) -> str:
    """Return the key of the server that a local address belongs to."""
    assert entry.local is not None
    for host, addresses in explanations.hosts:
        everywhere = not host.host or any(ipaddress.ip_address(address).is_unspecified for address in addresses)
        if (
            host.listens
            and host.port in (None, entry.local.port)
            and (everywhere or str(entry.local.address) in addresses)
        ):
            return host.key
        if entry.kind == "udp" and host.port is None and not host.listens:  # a camera sends to ports of its choice
            return host.key
    return ""


def _connection(entry: OpenSocket, explanations: Explanations) -> str:
    assert entry.remote is not None
    address = str(entry.remote.address)
    for host, addresses in explanations.hosts:
        if not host.listens and address in addresses and host.port in (None, entry.remote.port):
            return host.key
    if entry.remote.port == DNS_PORT and (address in explanations.servers or entry.remote.address.is_loopback):
        named = any(host.host and parse_ip(host.host) is None for host, _ in explanations.hosts)
        return "name server, for names in the configuration" if named else ""
    return ""


def _file_finding(descriptor: int, path: Path, explanations: Explanations) -> WatchFinding | None:
    """Describe a file that is open for writing; None for devices and files of sound servers."""
    text = str(path)
    if text.startswith(SYSTEM_FILES) or any(part in text for part in SOUND_FILES):
        return None
    if descriptor in STANDARD:
        return WatchFinding(f"file {text}", STANDARD[descriptor])
    plain = Path(text.removesuffix(" (deleted)"))
    for place, key in explanations.files:
        if plain.is_relative_to(place.resolve()):  # /proc shows paths without links; /var/lib/soundwatch is one
            return WatchFinding(f"file {plain}", key)
    return WatchFinding(f"file {text}", "a temporary file without a name" if text != str(plain) else "")


def _addresses(host: ConfiguredHost) -> frozenset[str]:
    """Return the addresses of a host; none where its name has none just now."""
    if not host.host:
        return frozenset()
    try:
        answers = socket.getaddrinfo(host.host, None)
    except OSError:
        return frozenset()
    return frozenset(str(answer[4][0]).partition("%")[0] for answer in answers)

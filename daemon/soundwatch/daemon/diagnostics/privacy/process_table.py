"""Sockets and open files of a process and its children, read from /proc.

Conventions: a look sees what is open at that moment. A socket of TCP or UDP has its addresses; of Unix sockets only
those that are bound to a path are known, since the kernel does not show the other end. Reading needs the process's
user, or root.
Source: proc(5), proc_pid_net(5).
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

SocketKind = Literal["tcp", "udp", "unix", "netlink", "other"]
_TABLES: Final[tuple[tuple[str, SocketKind], ...]] = (("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp"))
_LISTENING: Final = "0A"
_ENDED: Final = (FileNotFoundError, ProcessLookupError)  # errors for a process, thread or descriptor that is gone
_WRITING: Final = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port.

    Attributes:
        address: IPv4 or IPv6; an IPv4 address that is written as an IPv6 one is an IPv4 one here.
        port: 0 for none.
    """

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    def __str__(self) -> str:
        """Write `HOST:PORT`."""
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A socket of a process.

    Attributes:
        kind: Protocol; `other` where no table of the kernel lists it.
        local: Own address; None for none.
        remote: Address of the other end; None where the socket is not connected.
        listens: Whether the socket waits for connections.
        path: Path of a bound Unix socket; empty for others.
    """

    kind: SocketKind
    local: Endpoint | None = None
    remote: Endpoint | None = None
    listens: bool = False
    path: str = ""


def descendants(process: int) -> list[int]:
    """Return a process and all its children, as far as they still run."""
    found, waiting = [], [process]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for task in _entries(Path(f"/proc/{current}/task")):
            try:
                waiting += [int(child) for child in (task / "children").read_text().split()]
            except _ENDED:
                continue
    return found


def command_of(process: int) -> tuple[str, ...]:
    """Return the words of a process's command; none where it has ended."""
    try:
        content = Path(f"/proc/{process}/cmdline").read_bytes()
    except _ENDED:
        return ()
    return tuple(os.fsdecode(word) for word in content.split(b"\0") if word)


def initial_environment(process: int) -> dict[str, str]:
    """Return the environment that a process was started with.

    Raises:
        PermissionError: The process belongs to another user.
    """
    content = os.fsdecode(Path(f"/proc/{process}/environ").read_bytes())
    return dict(entry.split("=", 1) for entry in content.split("\0") if "=" in entry)


def open_sockets(process: int) -> list[OpenSocket]:
    """Return the sockets of a process.

    Raises:
        PermissionError: The process belongs to another user.
    """
    inodes = dict(_socket_inodes(process))
    if not inodes:
        return []
    known = _known_sockets(process)
    found = [known[inode] for inode in inodes.values() if inode in known]
    unknown = {descriptor: inode for descriptor, inode in inodes.items() if inode not in known}
    if unknown:  # one that was opened or closed between both looks is none of another kind
        still, known = dict(_socket_inodes(process)), _known_sockets(process)
        for descriptor, inode in unknown.items():
            if still.get(descriptor) == inode:
                found.append(known.get(inode, OpenSocket("other")))
    return found


def written_files(process: int) -> list[tuple[int, Path]]:
    """Return the descriptors of files that a process has open for writing, with their paths.

    Raises:
        PermissionError: The process belongs to another user.
    """
    found = []
    for entry in _entries(Path(f"/proc/{process}/fd")):
        try:
            target = entry.readlink()
            flags = Path(f"/proc/{process}/fdinfo/{entry.name}").read_text().split("flags:")[1].split()[0]
        except _ENDED:
            continue
        if target.is_absolute() and int(flags, 8) & _WRITING:
            found.append((int(entry.name), target))
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except _ENDED:
        return []


def _socket_inodes(process: int) -> Iterator[tuple[str, str]]:
    for entry in _entries(Path(f"/proc/{process}/fd")):
        try:
            target = str(entry.readlink())
        except _ENDED:
            continue
        if target.startswith("socket:["):
            yield entry.name, target.removeprefix("socket:[").removesuffix("]")


def _known_sockets(process: int) -> dict[str, OpenSocket]:
    """Return the sockets of the process's network namespace, by inode."""
    found: dict[str, OpenSocket] = {}
    for table, kind in _TABLES:
        for words in _rows(process, table):
            remote = _endpoint(words[2])
            connected = remote if remote.port else None
            found[words[9]] = OpenSocket(kind, _endpoint(words[1]), connected, words[3] == _LISTENING and kind == "tcp")
    for words in _rows(process, "unix"):
        found[words[6]] = OpenSocket("unix", path=words[7] if len(words) > 7 else "")
    for words in _rows(process, "netlink"):
        found[words[9]] = OpenSocket("netlink")
    return found


def _rows(process: int, table: str) -> Iterator[list[str]]:
    path = Path(f"/proc/{process}/net/{table}")
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except _ENDED:  # a kernel without IPv6, or a process that has ended
        return
    for line in lines[1:]:
        yield line.split()


def _endpoint(text: str) -> Endpoint:
    """Read an address as the kernel writes it: 32-bit words in this machine's byte order, then the port."""
    digits, _, port = text.partition(":")
    words = (bytes.fromhex(digits[start : start + 8]) for start in range(0, len(digits), 8))
    packed = b"".join(socket.htonl(int.from_bytes(word)).to_bytes(4) for word in words)
    address = ipaddress.ip_address(packed)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Endpoint(mapped or address, int(port, 16))

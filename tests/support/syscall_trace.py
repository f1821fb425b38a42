"""Connections, DNS queries and files of a command and its children, read from strace.

Conventions: each process has its own output file (`strace -ff`), so that no call is split over two lines. A DNS query
is a connection or a datagram to port 53, whether it arrives or not. A file is created by any call that may make a name:
opening with O_CREAT, mkdir, mknod, link, symlink, rename, or binding a socket to a path; only calls that succeed count.
Does not: see system calls that the kernel makes for a process (io_uring).
"""

from __future__ import annotations

import ipaddress
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DNS_PORT: Final = 53
_NETWORK: Final = ("connect", "sendto", "sendmsg", "sendmmsg")
_CREATING: Final = (
    *("open", "openat", "openat2", "creat", "mkdir", "mkdirat", "mknod", "mknodat"),
    *("link", "linkat", "symlink", "symlinkat", "rename", "renameat", "renameat2", "bind"),
)
_TRACED: Final = (*_NETWORK, *_CREATING, "chdir", "fchdir", "getsockname")

_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (-?\d+)(?:<(.*?)>)?", re.S)
_INET = re.compile(r'sin_port=htons\((\d+)\), sin_addr=inet_addr\("([^"]+)"\)')
_INET6 = re.compile(r'sin6_port=htons\((\d+)\).*?inet_pton\(AF_INET6, "([^"]+)"')
_UNIX = re.compile(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"')
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Permitted:
    """Everything that a command may do beside computing.

    Attributes:
        ports: Ports of loopback addresses, beside those that the command's own processes listen at.
        folders: Folders and files that it may create files in, as docs/privacy.md names them.
        sockets: Unix sockets, by the beginning of their path; `@` before an abstract name.
    """

    ports: frozenset[int] = frozenset()
    folders: tuple[Path, ...] = ()
    sockets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """The calls of a command and its children.

    Attributes:
        returncode: Exit code of the command.
        output: Its standard output and error.
        connections: Addresses other than DNS servers, as `HOST:PORT`, each call once.
        queries: Addresses of DNS servers, each call once.
        sockets: Unix sockets that it connected to; `@` before an abstract name.
        created: Paths that it created or may have created.
        own_ports: Ports that its processes bound.
    """

    returncode: int
    output: bytes
    connections: tuple[str, ...]
    queries: tuple[str, ...]
    sockets: tuple[str, ...]
    created: tuple[Path, ...]
    own_ports: frozenset[int]

    def unexplained(self, permitted: Permitted) -> list[str]:
        """List everything that is not permitted, each once."""
        found = {f"DNS query to {server}" for server in self.queries}
        found |= {f"connection to {address}" for address in self.foreign_connections(permitted)}
        found |= {f"connection to {path}" for path in self.sockets if not path.startswith(permitted.sockets)}
        found |= {f"file {path}" for path in self.foreign_files(permitted)}
        return sorted(found)

    def foreign_connections(self, permitted: Permitted) -> list[str]:
        """List each call that connected to an address that is not permitted."""
        ports = self.own_ports | permitted.ports
        return [address for address in self.connections if not _is_on_loopback(address, ports)]

    def foreign_files(self, permitted: Permitted) -> list[Path]:
        """List files outside the permitted folders, each once."""
        return sorted({path for path in self.created if not _is_inside(path, permitted.folders)})


def tracing_obstacle() -> str:
    """Return the reason why commands cannot be traced in a network without a route here; empty where they can."""
    missing = [name for name in ("strace", "unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: strace iproute2)"
    for command in (["strace", "-f", "-qq", "-o", os.devnull, "true"], [*_unshare(), "ip", "link", "set", "lo", "up"]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"`{' '.join(command)}`: {done.stderr.strip()}"
    return ""


class NetworkWithoutRoute:
    """A network namespace with nothing but loopback, as long as this object is open."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            [*_unshare(), "sh", "-c", "ip link set lo up && echo up && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"up\n", "there is no network namespace"

    def command(self, command: Sequence[str]) -> list[str]:
        """Return the words that run a command in this namespace."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", *user, "--net", "--target", str(self._holder.pid), *command]

    def close(self) -> None:
        """End the namespace; processes in it keep it alive until they end."""
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.close()
        self._holder.wait(60)
        self._holder.stdout.close()


def trace(command: Sequence[str], folder: Path, network: NetworkWithoutRoute, **options: Any) -> Trace:
    """Run a command to its end and return its calls.

    Args:
        command: Words of the command.
        folder: Where strace writes; made here.
        network: Namespace to run in.
        options: For `subprocess.run`; `cwd` is needed to resolve relative paths.
    """
    words = network.command(traced_words(command, folder))
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
    done = subprocess.run(words, check=False, **(streams | options))
    return read_trace(folder, Path(options["cwd"]), done.returncode, done.stdout or b"")


def trace_until(
    command: Sequence[str], folder: Path, network: NetworkWithoutRoute, done: Callable[[], bool], **options: Any
) -> Trace:
    """Run a command of coreutils' `timeout` until something was seen or it ends, and return its calls.

    Args:
        command: Words of the command.
        folder: Where strace writes; made here.
        network: Namespace to run in.
        done: Asked some times a second.
        options: For `subprocess.Popen`; `cwd` is needed to resolve relative paths.
    """
    words = network.command(traced_words(command, folder))
    with (folder / "output").open("wb") as output:
        streams: dict[str, Any] = {"stdout": output, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        with subprocess.Popen(words, **(streams | options)) as process:
            while process.poll() is None:
                if done():
                    end_traced(process.pid)
                    break
                time.sleep(0.2)
    return read_trace(folder, Path(options["cwd"]), process.returncode, (folder / "output").read_bytes())


def end_traced(pid: int) -> None:
    """Send SIGTERM to the program that a strace runs; `timeout` hands it on to its own."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(child), signal.SIGTERM)


def traced_words(command: Sequence[str], folder: Path) -> list[str]:
    """Return the words that trace a command into a folder, which is made here."""
    folder.mkdir(parents=True)
    strace = ["strace", "-ff", "-y", "-qq", "-s", "4096", "--seccomp-bpf", "-f", "-o", str(folder / "trace")]
    return [*strace, "-e", f"trace={','.join(_TRACED)}", "--", *command]


def read_trace(folder: Path, cwd: Path, returncode: int = 0, output: bytes = b"") -> Trace:
    """Read the files that `strace -ff -y -o FOLDER/trace` wrote of a command that began in `cwd`."""
    connections: list[str] = []
    queries: list[str] = []
    sockets: list[str] = []
    created: list[Path] = []
    own_ports: set[int] = set()
    for path in sorted(folder.glob("trace.*")):
        here = cwd
        for name, arguments, result, described in _calls(path):
            if name in _NETWORK:
                for address in _addresses(arguments):
                    (queries if address.endswith(f":{DNS_PORT}") else connections).append(address)
                if name == "connect":
                    sockets += [mark + text for mark, text in _UNIX.findall(arguments)]
            elif name == "getsockname":
                own_ports |= {int(address.rpartition(":")[2]) for address in _addresses(arguments)}
            elif name == "chdir" and result == 0:
                here = _resolved(here, arguments)
            elif name == "fchdir" and result == 0:
                here = Path(arguments.partition("<")[2].rstrip(">"))
            elif name in _CREATING and result >= 0:
                if name == "bind":
                    own_ports |= {int(address.rpartition(":")[2]) for address in _addresses(arguments)}
                created += _created(name, arguments, described, here)
    return Trace(
        returncode, output, tuple(connections), tuple(queries), tuple(sockets), tuple(created), frozenset(own_ports)
    )


def _unshare() -> list[str]:
    return ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]


def _calls(path: Path) -> Iterator[tuple[str, str, int, str | None]]:
    """Yield name, arguments, result and the path of a returned descriptor of each call that ended."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        call = _CALL.match(line)
        if call is not None:
            yield call[1], call[2], int(call[3]), call[4]


def _addresses(arguments: str) -> Iterator[str]:
    for port, host in (*_INET.findall(arguments), *_INET6.findall(arguments)):
        yield f"{host}:{port}"


def _created(name: str, arguments: str, described: str | None, here: Path) -> Iterator[Path]:
    """Yield the path that a call made."""
    if name in ("open", "openat", "openat2", "creat"):
        if name != "creat" and "O_CREAT" not in arguments and "O_TMPFILE" not in arguments:
            return
        yield Path(described.removesuffix(" (deleted)")) if described else _resolved(here, arguments)
    elif name == "bind":
        yield from (_joined(here, text) for mark, text in _UNIX.findall(arguments) if not mark and text)
    else:
        yield _resolved(here, arguments)


def _resolved(here: Path, arguments: str) -> Path:
    """Return the last path among a call's arguments; its folder is the descriptor before it, or the process's own."""
    folder, text = _PATH.findall(arguments)[-1]
    return _joined(Path(folder) if folder else here, text)


def _joined(here: Path, text: str) -> Path:
    plain = text.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "replace")
    return Path(os.path.normpath(here / plain))


def _is_inside(path: Path, folders: tuple[Path, ...]) -> bool:
    """Check that a path is one of the folders, in one, or above one (made on the way)."""
    return any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in folders)


def _is_on_loopback(address: str, ports: frozenset[int]) -> bool:
    host, _, port = address.rpartition(":")
    parsed = ipaddress.ip_address(host)
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback and int(port) in ports

"""A real PostgreSQL in its own folder, which tests may stop and start."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from support.ports import free_port

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))  # as Debian lays it out


class Postgres:
    """The server. It refuses to run as root, so root runs it as the user that Debian made for it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(folder, self._user)
        self._run("initdb", "--auth=trust", "--username=soundwatch", "--no-sync", "-D", str(folder / "data"))
        self.start()

    def start(self) -> None:
        """Start it, also again after it was ended."""
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c max_connections=50"
        self._run(
            "pg_ctl", "-D", str(self._folder / "data"), "-w", "-l", str(self._folder / "log"), "-o", options, "start"
        )

    def end(self) -> None:
        """End it as a crash of its machine would: without a word to its clients."""
        self._run("pg_ctl", "-D", str(self._folder / "data"), "-w", "-m", "immediate", "stop")

    def database(self) -> str:
        """The address of a new, empty database."""
        name = f"fleet_{uuid4().hex}"
        self._run(
            "psql",
            "-h",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-U",
            "soundwatch",
            "-c",
            f"CREATE DATABASE {name}",
            "postgres",
        )
        return f"postgresql://soundwatch@127.0.0.1:{self.port}/{name}"

    def ask(self, address: str, query: str) -> str:
        """Return the result of a query, as psql prints it."""
        return self._run("psql", "-At", "-c", query, address).strip()

    def _run(self, program: str, *arguments: str) -> str:
        command = [str(FOLDERS[-1] / program), *arguments]
        user = None if self._user is None else pwd.getpwnam(self._user)
        done = subprocess.run(
            command,
            check=False,
            stdout=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            stderr=subprocess.PIPE if program == "psql" else subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            cwd="/",
            timeout=120,
            user=user and user.pw_uid,
            group=user and user.pw_gid,
            extra_groups=[] if user else None,
        )
        assert done.returncode == 0, (program, done.stderr)
        return (done.stdout or b"").decode()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Provide a server for all tests, or skip with the missing program."""
    if not FOLDERS:
        pytest.skip("no server without Debian's package postgresql")
    folder = Path(tempfile.mkdtemp(prefix="soundwatch-postgres-", dir="/tmp"))
    server = Postgres(folder)
    yield server
    server.end()
    shutil.rmtree(folder, ignore_errors=True)

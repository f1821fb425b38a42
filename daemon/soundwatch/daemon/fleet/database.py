"""Addresses of a fleet store's database, its time limits, and the texts of its errors.

Rule: an address contains no password, since other users can read it; libpq reads PGPASSWORD and ~/.pgpass.
Does not: read or write (`store.py`).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import sqlalchemy as sql

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.network.redact import redact_url
from soundwatch.daemon.core.network.tls_fault import tls_fault_text

POSTGRESQL_TIMEOUTS: Final = {  # of libpq; against a server that does not answer
    "connect_timeout": 10,
    "tcp_user_timeout": 30_000,
    "keepalives_idle": 10,
    "options": "-c statement_timeout=60000 -c lock_timeout=5000",
}
HANGING_S: Final = 75.0  # above the statement's limit, which a server that hangs does not keep
SECRETS: Final = ("password", "passfile", "sslpassword")


def database_url(address: str) -> sql.URL:
    """Parse an address for SQLAlchemy.

    Raises:
        ConfigError: The address is invalid, or contains a password.
    """
    if "://" not in address:
        return sql.URL.create("sqlite", database=str(Path(address).expanduser().absolute()))
    try:
        url = sql.make_url(address)
    except (sql.exc.ArgumentError, ValueError):
        url = sql.URL.create("")
    if url.password is not None or any(key in url.query for key in SECRETS):
        raise ConfigError(
            "--store: the address contains a password, which other users can read. Set PGPASSWORD, or write the "
            "password into ~/.pgpass."
        )
    if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise ConfigError(
            f"--store {redact_url(address)} is not a store; postgresql://[USER@]HOST[:PORT]/DATABASE, or a file for "
            "SQLite, was expected."
        )
    return url.set(drivername="postgresql+psycopg")


def silence_driver() -> None:
    """Keep the driver's own log from standard error; each of its failures is raised too."""
    logger = logging.getLogger("psycopg")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def database_error_text(error: Exception) -> str:
    """Return the message of a database error in one line."""
    text = str(getattr(error, "orig", None) or error).strip().splitlines()[0].rstrip(".")
    return tls_fault_text(text) or text

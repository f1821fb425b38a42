"""Certificates that check those of servers."""

from __future__ import annotations

import ssl


def trusted_certificates(ca: str | None) -> str | None:
    """Return the file of the certificates that check a server's: that of the option, or the system's."""
    return ca or ssl.get_default_verify_paths().cafile

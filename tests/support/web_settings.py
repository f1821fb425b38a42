"""A sink's word as the server's settings."""

from __future__ import annotations

from soundwatch.daemon.sinks.kinds import parse_sink
from soundwatch.daemon.web.http.settings import Settings, parse_settings


def settings(word: str, environment: dict[str, str] | None = None) -> Settings:
    """Parse an address for a machine named balcony."""
    return parse_settings(parse_sink(word), "Balcony", environment or {})

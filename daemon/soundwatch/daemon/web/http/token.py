"""Token of the page's clients, which is read again after its file was replaced.

Conventions: every request compares the time of the file with that of the one that was read, so a new token needs no
signal; a file that is missing or has no token leaves the former token in use.
Does not: check requests (`middleware.py`) or make cookies (`session.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.paths import expand_path, read_secret
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.sinks.spec import SinkSpec

TOKEN_VARIABLE: Final = "SOUNDWATCH_TOKEN"  # noqa: S105  # name of the variable
MIN_TOKEN_LENGTH: Final = 16


class RenewedToken:
    """The token in force.

    Args:
        spec: Specification of the page, for messages.
        file: File with the token; None for the variable of the environment.
        environment: Environment variables.
        on_failure: Called with the reason if a new file cannot be used.

    Raises:
        ConfigError: The file cannot be read, or has no token.
    """

    def __init__(
        self, spec: SinkSpec, file: str | None, environment: Mapping[str, str], on_failure: Callable[[str], object]
    ) -> None:
        self._renewed = Renewed(lambda: _read_token(spec, file, environment), [file])
        self._last = self._renewed.get()
        self._on_failure = on_failure

    def get(self) -> str | None:
        """Return the token; None if no token is required."""
        try:
            self._last = self._renewed.get()
        except ConfigError as error:
            self._on_failure(str(error))
        return self._last


def _read_token(spec: SinkSpec, file: str | None, environment: Mapping[str, str]) -> str | None:
    origin = TOKEN_VARIABLE
    token = environment.get(TOKEN_VARIABLE)
    if file is not None:
        origin = file
        try:
            token = read_secret(expand_path(origin)).strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"-F {spec.text}: {origin} cannot be read: {getattr(error, 'strerror', None) or 'it is not a text'}. "
                "Give a file that contains a token."
            ) from error
    if token is None:
        return None
    if len(token) < MIN_TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"-F {spec.text}: the token in {origin} has {len(token)} characters; at least {MIN_TOKEN_LENGTH} ASCII "
            "characters without spaces were expected. Create one with: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token

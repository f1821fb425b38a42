"""The check of a server's certificate by ffmpeg, for addresses of encrypted connections.

Conventions: `certificate` of a source is `checked` (by the issuers that this system trusts), the path of a file with
issuers, or `unchecked`. The check includes the name of the host, in builds of ffmpeg with GnuTLS, as of Debian.
Source: ffmpeg 5.1. It checks nothing by default, and has no option for `UNCHECKABLE` schemes. Its HLS reader passes no
option on to the connections of a playlist's parts. Builds with OpenSSL may know no system's issuers, so the system's
file is named.
Does not: check a connection itself, or the parts of an HLS playlist.
"""

from __future__ import annotations

import errno
import ssl
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ConfigError, SourceUnavailableError
from soundwatch.daemon.core.files.paths import expand_path, is_file, is_there

CHECKED: Final = "checked"
UNCHECKED: Final = "unchecked"
UNCHECKABLE: Final = frozenset({"rtsps", "rtmps", "rtmpts"})
ENCRYPTED: Final = UNCHECKABLE | {"https", "tls"}
_SYSTEM_FILES: Final = (  # Debian, Alpine, Arch; Fedora; openSUSE; BSD, macOS
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def check_certificate(certificate: str) -> None:
    """Refuse a file that holds no certificates.

    Raises:
        ConfigError: The file cannot be read, or holds no certificate.
    """
    if certificate in (CHECKED, UNCHECKED):
        return
    if not certificate:
        raise ConfigError(f"certificate is empty. Write `{CHECKED}`, `{UNCHECKED}`, or the path of a PEM file.")
    path = expand_path(certificate)
    try:
        if is_there(path) and not is_file(path):  # a pipe without a writer would be waited for
            raise OSError(errno.EINVAL, "it is not a regular file")
        ssl.create_default_context(cafile=path)
    except OSError as error:  # also what is no certificate
        reason = error.strerror or str(error)
        raise ConfigError(
            f"certificate is {certificate!r}, which is no file of certificates ({reason}). Write `{CHECKED}`, "
            f"`{UNCHECKED}`, or the path of a PEM file with the server's certificate or its issuer's."
        ) from error


def check_checkable(certificate: str, device: str | int) -> None:
    """Refuse an address whose server's certificate no ffmpeg can check, unless it stays unchecked.

    Raises:
        ConfigError: It is one.
    """
    scheme = str(device).partition("://")[0].lower()
    if certificate != UNCHECKED and scheme in UNCHECKABLE:
        raise ConfigError(f"certificate is {certificate!r}: a check is needed, and {_no_check(scheme)}")


def certificate_options(address: str, scheme: str, certificate: str, *, takes_options: bool) -> tuple[str, ...]:
    """Return the options of an address with which ffmpeg checks certificates.

    Args:
        address: Address without its secrets.
        scheme: Scheme of the address, in small letters.
        certificate: As in the configuration.
        takes_options: True for a version of ffmpeg whose scripts take options.

    Raises:
        SourceUnavailableError: ffmpeg cannot check the certificate.
    """
    if certificate == UNCHECKED:
        return ()
    if scheme in UNCHECKABLE or (scheme in ENCRYPTED and not takes_options):
        version = "" if scheme in UNCHECKABLE else ", before version 5"
        raise SourceUnavailableError(
            f"{address} needs a check of its server's certificate, and {_no_check(scheme, version)}"
        )
    if scheme not in ("http", "https", "tls") or not takes_options:  # http:// may redirect to https://
        return ()
    issuers = _system_file() if certificate == CHECKED else str(expand_path(certificate).absolute())
    return ("tls_verify 1",) if issuers is None else ("tls_verify 1", f"ca_file {quoted(issuers)}")


def quoted(text: str) -> str:
    """Quote a text for a script of ffmpeg."""
    return "'" + text.replace("'", "'\\''") + "'"


def describe_certificate(scheme: str, certificate: str) -> str:
    """Return the end of a source's description; a text only where an encrypted connection is not checked."""
    return ", certificate unchecked" if certificate == UNCHECKED and scheme in ENCRYPTED else ""


def _no_check(scheme: str, version: str = "") -> str:
    """Return the end of a message about a certificate that ffmpeg cannot check."""
    return (
        f"ffmpeg{version} has none for {scheme}://. Set `certificate: {UNCHECKED}` of this source if its network is "
        "trusted."
    )


def _system_file() -> str | None:
    """Return the file with the issuers that this system trusts; None where only libraries know them."""
    own = ssl.get_default_verify_paths().cafile
    return next((path for path in (own, *_SYSTEM_FILES) if path and Path(path).is_file()), None)

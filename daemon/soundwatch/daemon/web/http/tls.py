"""TLS of the page from files, which are read again after they were renewed.

Conventions: the certificate's file begins with that of the server, those of its issuers may follow; the key is not
encrypted. Every new connection compares the times of both files with those that were read, so renewal needs no signal;
files that do not fit together leave the former certificate in use. At least TLS 1.2.
Does not: verify clients, or check names: browsers do.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ConfigError

EXPIRED: Final = 10  # X509_V_ERR_CERT_HAS_EXPIRED
MAX_FILE_BYTES: Final = 1_000_000
NOT_YET_VALID: Final = 9  # X509_V_ERR_CERT_NOT_YET_VALID

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files in PEM format.

    Attributes:
        certificate: Certificate of the server, and of its issuers.
        key: Private key of the server.
    """

    certificate: Path
    key: Path

    @property
    def stamp(self) -> Stamp:
        """Times, sizes and numbers of the files; changes when a file is replaced.

        Raises:
            OSError: A file is missing.
        """
        found = (self.certificate.stat(), self.key.stat())
        return tuple((file.st_mtime_ns, file.st_size, file.st_ino) for file in found)


def load_context(files: TlsFiles) -> ssl.SSLContext:
    """Read a certificate and its key.

    Raises:
        ConfigError: A file cannot be read or is not of its kind, the two do not belong together, the key is encrypted,
            or every user of the machine can read the key.
    """
    for path in (files.certificate, files.key):
        try:
            _check_kind(path)
            path.open("rb").close()
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}. Give a file in PEM format.") from error
    if stat.S_IMODE(files.key.stat().st_mode) & stat.S_IROTH:
        raise ConfigError(f"Every user of this machine can read the key {files.key}. Run: chmod 600 {files.key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_encrypted(files.key))
    except ssl.SSLError as error:
        raise ConfigError(_reason(files, error)) from error
    return context


def _check_kind(path: Path) -> None:
    """Refuse a pipe or a device, whose reading may never end, before it is opened.

    Raises:
        ConfigError: The file is not a regular one, or too large.
        OSError: The file is missing.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
        raise ConfigError(
            f"{path} is not a regular file of at most {MAX_FILE_BYTES // 1000} kB. Give a file in PEM format."
        )


def validity_fault(files: TlsFiles) -> str | None:
    """Return why clients refuse the time of a certificate; None if the certificate is valid now."""
    server, client = load_context(files), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate itself is the trusted one
    client.load_verify_locations(files.certificate)
    try:
        _shake_hands(server, client)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in (EXPIRED, NOT_YET_VALID):
            return error.verify_message
    return None


class RenewedContext:
    """A context whose certificate is read again when its files have changed.

    Args:
        files: The files.
        on_failure: Called with the reason if new files cannot be used.

    Attributes:
        context: Context of the listening socket.

    Raises:
        ConfigError: The files cannot be used.
    """

    def __init__(self, files: TlsFiles, on_failure: Callable[[str], object]) -> None:
        self._files, self._on_failure = files, on_failure
        self._stamp = files.stamp
        self.context = self._current = load_context(files)
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        """Give a new connection the present certificate; called in every handshake."""
        del name, context
        try:
            stamp = self._files.stamp
            if stamp != self._stamp:
                self._current, self._stamp = load_context(self._files), stamp
        except (ConfigError, OSError) as error:
            self._on_failure(str(error))
        connection.context = self._current


def _refuse_encrypted(key: Path) -> Callable[[], str]:
    def refuse() -> str:
        raise ConfigError(
            f"The key {key} is encrypted. Decrypt it to a file of mode 0600: openssl pkey -in {key} -out FILE"
        )

    return refuse


def _reason(files: TlsFiles, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"The key {files.key} is not that of the certificate {files.certificate}. Give the two of one request."
    if b"-----BEGIN CERTIFICATE-----" not in files.certificate.read_bytes():
        return f"{files.certificate} has no certificate in PEM format, which begins with -----BEGIN CERTIFICATE-----."
    if b"PRIVATE KEY-----" not in files.key.read_bytes():
        return f"{files.key} has no private key in PEM format, which begins with -----BEGIN PRIVATE KEY-----."
    return f"{files.certificate} and {files.key} cannot be read: {error.reason or error}. Give files in PEM format."


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    """Connect two contexts in memory.

    Raises:
        ssl.SSLError: One refuses the other.
    """
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(down, up), server.wrap_bio(up, down, server_side=True)]
    while sides:
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            sides.remove(side)

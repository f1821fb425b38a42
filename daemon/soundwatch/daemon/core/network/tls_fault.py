"""Sentences about failures of TLS connections.

Conventions: a sentence names the fault and the remedy, and no address. OpenSSL's texts are recognized, since only a
text is left of an error that another library has logged.
Source: OpenSSL's crypto/x509/x509_txt.c and ssl/ssl_err.c.
Does not: connect, or check certificates.
"""

from __future__ import annotations

from typing import Final

_NO_TLS: Final = "the server does not speak TLS at this port; check the port, or use the scheme without encryption"
_OLD_TLS: Final = "the server and this machine have no version of TLS in common; have the server use TLS 1.2 or newer"
_FAULTS: Final = {  # by a part of the text, in small letters
    "certificate has expired": "the server's certificate has expired; renew it, or correct the clock of this machine",
    "certificate is not yet valid": "the server's certificate is not valid yet; correct the clock of this machine, or "
    "wait",
    "certificate is not valid for": "the server's certificate is for another name than that of the address; use the "
    "name of the certificate, or issue one for this name",
    "self-signed certificate": "the server's certificate is self-signed, or its issuer's is, and is not trusted here; "
    "give that certificate with the option ca, where there is one, or add it to those of the system",
    "local issuer certificate": "the server's certificate has an issuer that is not trusted here; give the issuer's "
    "certificate with the option ca, where there is one, add it to those of the system, or have the server send the "
    "whole chain",
    "certificate verify failed": "the server's certificate is not accepted: it has expired, is not valid yet, or has "
    "an issuer that is not trusted here; check its dates and the file of trusted certificates",
    "certificate required": "the server requires a certificate of this client; give one with the options cert and key",
    "alert unknown ca": "the server does not trust the issuer of this client's certificate",
    "alert certificate expired": "the server refuses this client's certificate, which has expired; renew it",
    "alert bad certificate": "the server refuses this client's certificate",
    "wrong version number": _NO_TLS,
    "record layer failure": _NO_TLS,
    "unsupported protocol": _OLD_TLS,
    "protocol version": _OLD_TLS,
    "handshake failure": "the server and this machine agree on no encryption; check the server's settings of TLS",
}


def tls_fault_text(text: str) -> str | None:
    """Return a sentence about a failure of TLS from the text of an error; None for a text about anything else."""
    if "SSL" not in text:
        return None
    folded = text.lower().replace("_", " ")
    return next((sentence for part, sentence in _FAULTS.items() if part in folded), None)

"""What an application is told of a connection's TLS: WSGI environ variables as Apache's mod_ssl names them, and the
`tls` extension of an ASGI scope (https://asgi.readthedocs.io/en/latest/specs/tls.html, version 0.2).

Made once for a connection. Of a client's certificate only what was verified is told: OpenSSL ends a handshake with any
other.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pyserve.protocol.x509 import attributes, distinguished_name
from pyserve.workers.tls.channel import TlsChannel

_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_ALTERNATIVES = {"DNS": "DNS", "email": "Email"}


def environ_of(tls: TlsChannel) -> dict[str, str]:
    """The variables for WSGI: HTTPS, SSL_PROTOCOL, SSL_CIPHER and more, and SSL_CLIENT_* for a certificate."""
    connection = tls.connection
    name, protocol, bits = connection.cipher() or ("", "", 0)
    environ = {
        "wsgi.url_scheme": "https",
        "HTTPS": "on",
        "SSL_PROTOCOL": connection.version() or protocol,
        "SSL_CIPHER": name,
        "SSL_CIPHER_USEKEYSIZE": str(bits),
        "SSL_SESSION_RESUMED": "Resumed" if connection.session_reused else "Initial",
        "SSL_CLIENT_VERIFY": "NONE",
    }
    certificate = connection.getpeercert()
    if certificate:
        environ["SSL_CLIENT_VERIFY"] = "SUCCESS"
        environ.update(_client(certificate))
        for number, text in enumerate(_chain(connection)):
            environ["SSL_CLIENT_CERT" if number == 0 else f"SSL_CLIENT_CERT_CHAIN_{number - 1}"] = text
    # Text of an environ is octets in disguise (PEP 3333): a name may be in any script.
    return {key: value.encode("utf-8", "surrogatepass").decode("latin-1") for key, value in environ.items()}


def _client(certificate: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, letter in (("subject", "S"), ("issuer", "I")):
        yield f"SSL_CLIENT_{letter}_DN", distinguished_name(certificate[key])
        seen: dict[str, int] = {}
        for kind, value in attributes(certificate[key]):
            number = seen[kind] = seen.get(kind, -1) + 1
            yield f"SSL_CLIENT_{letter}_DN_{kind}" + (f"_{number}" if number else ""), value
    yield "SSL_CLIENT_M_VERSION", str(certificate["version"])
    yield "SSL_CLIENT_M_SERIAL", certificate["serialNumber"]
    yield "SSL_CLIENT_V_START", certificate["notBefore"]
    yield "SSL_CLIENT_V_END", certificate["notAfter"]
    left = ssl.cert_time_to_seconds(certificate["notAfter"]) - datetime.now(UTC).timestamp()
    yield "SSL_CLIENT_V_REMAIN", str(int(left // 86400))
    numbers: dict[str, int] = {}
    for kind, value in certificate.get("subjectAltName", ()):
        if kind in _ALTERNATIVES:
            number = numbers[kind] = numbers.get(kind, -1) + 1
            yield f"SSL_CLIENT_SAN_{_ALTERNATIVES[kind]}_{number}", value


def extension_of(tls: TlsChannel) -> dict[str, Any]:
    """`scope["extensions"]["tls"]`. Certificates in PEM; the client's chain begins with its own.

    Before Python 3.13 the chain is the client's certificate alone.
    """
    connection = tls.connection
    certificate = connection.getpeercert()
    cipher = connection.cipher()
    return {
        "server_cert": tls.certificate,
        "client_cert_chain": tuple(_chain(connection)),
        "client_cert_name": distinguished_name(certificate["subject"]) if certificate else None,  # type: ignore[arg-type]
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(connection.version() or ""),
        "cipher_suite": _number(connection.context, cipher[0]) if cipher else None,
    }


def _number(context: ssl.SSLContext, name: str) -> int | None:
    """The IANA number of a cipher suite; OpenSSL's has the protocol before it."""
    return next((known["id"] & 0xFFFF for known in context.get_ciphers() if known["name"] == name), None)


def _chain(connection: ssl.SSLObject) -> list[str]:
    """The client's certificate, and where Python offers it (3.13) those that led to an authority, in PEM."""
    own = connection.getpeercert(binary_form=True)
    if own is None:
        return []
    get_chain = getattr(connection, "get_verified_chain", None)
    # A session that was resumed has the certificate only.
    chain = (get_chain() if get_chain is not None else None) or [own]
    return [ssl.DER_cert_to_PEM_cert(der) for der in chain]

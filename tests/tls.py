"""Certificates made for a test run, and a TLS client without a mind of its own: the test says what it sends, when."""

import datetime
import functools
import socket
import ssl
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

HOST = "localhost"


@functools.cache
def authority() -> trustme.CA:
    """Whom the clients of the tests trust."""
    return trustme.CA()


@functools.cache
def issued(*names: str) -> trustme.LeafCert:
    return authority().issue_cert(*names)


def write_certificate(path: Path, *names: str) -> Path:
    """A file with key, certificate and chain for some names."""
    issued(*(names or (HOST, "127.0.0.1"))).private_key_and_cert_chain_pem.write_to_path(str(path))
    return path


def write_authority(path: Path) -> Path:
    authority().cert_pem.write_to_path(str(path))
    return path


def write_crl(path: Path, *revoked: trustme.LeafCert) -> Path:
    """The authority's list of certificates that it takes back."""
    issuer = x509.load_pem_x509_certificate(authority().cert_pem.bytes())
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateRevocationListBuilder(issuer.subject, now, now + datetime.timedelta(days=1))
    for one in revoked:
        number = x509.load_pem_x509_certificate(one.cert_chain_pems[0].bytes()).serial_number
        entry = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    key: Any = serialization.load_pem_private_key(authority().private_key_pem.bytes(), None)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


def client_context(client: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Of a client that trusts the authority, and shows a certificate if it has one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if client is not None:
        client.configure_cert(context)
    return context


class TlsPeer:
    """A client's socket with TLS on it. FIN and resets are only sent where the test says so.

    records: octets as they are on the wire, of what was last sent.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext | None = None, name: str = HOST) -> None:
        self.raw = connection
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        context = context or client_context()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            else:
                self._flush()
                return

    def _flush(self) -> None:
        self.raw.sendall(self._outgoing.read())

    def _fill(self) -> None:
        data = self.raw.recv(65536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def seal(self, data: bytes) -> bytes:
        """Octets as they go over the wire; to be sent in this order, by `raw`."""
        done = 0
        while done < len(data):
            done += self.tls.write(memoryview(data)[done:])
        return self._outgoing.read()

    def sendall(self, data: bytes) -> None:
        self.raw.sendall(self.seal(data))

    def recv(self, size: int) -> bytes:
        """b"" only at an end that the server has announced; ssl.SSLEOFError at any other."""
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                self._fill()
            except ssl.SSLZeroReturnError:
                return b""

    def shutdown(self, how: int) -> None:
        """Announce the end, and send FIN."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # it wants the server's
        self._flush()
        self.raw.shutdown(how)

    def close(self) -> None:
        self.raw.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

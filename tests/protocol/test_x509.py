"""Names in certificates."""

import datetime
import ssl

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pyserve.protocol.x509 import NotDer, attributes, distinguished_name, host_matches, host_names


def der(*names: str) -> bytes:
    pem = trustme.CA().issue_cert(*names).cert_chain_pems[0].bytes()
    return ssl.PEM_cert_to_DER_cert(pem.decode())


def without_alternatives(*common_names: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")]
    name = x509.Name([*parts, *(x509.NameAttribute(NameOID.COMMON_NAME, common) for common in common_names)])
    now = datetime.datetime(2026, 1, 1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_dns_names() -> None:
    assert host_names(der("A.example", "*.b.example", "127.0.0.1")) == ("a.example", "*.b.example")


@pytest.mark.parametrize(("names", "expected"), [(("old.example",), ("old.example",)), ((), ())])
def test_a_common_name_where_there_are_no_others(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert host_names(without_alternatives(*names)) == expected


def test_what_is_no_certificate() -> None:
    whole = der("a.example")
    for end in range(len(whole)):
        with pytest.raises(NotDer):
            host_names(whole[:end])
    for octet in range(256):
        with pytest.raises(NotDer):
            host_names(bytes([octet]) * 40)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("a.b.example", ("a.b.example", "*.b.example")),
        ("A.Example.", ("a.example", "*.example")),
        ("localhost", ("localhost",)),
        ("", ("",)),
    ],
)
def test_what_a_name_is_looked_up_as(wanted: str, expected: tuple[str, ...]) -> None:
    assert host_matches(wanted) == expected


NAME = ((("countryName", "DE"),), (("organizationName", "A, B + C"),), (("commonName", "x"), ("userId", "#1 ")))


def test_a_distinguished_name() -> None:
    # RFC 4514 section 2.1: the last part first; section 2.4: escapes.
    assert distinguished_name(NAME) == "CN=x+UID=\\#1\\ ,O=A\\, B \\+ C,C=DE"
    assert distinguished_name(()) == ""
    assert distinguished_name(((("commonName", "a\r\nb\0\x7f"),),)) == "CN=a\\0D\\0Ab\\00\\7F"
    assert list(attributes(NAME)) == [("C", "DE"), ("O", "A, B + C"), ("CN", "x"), ("UID", "#1 ")]


def test_parts_have_the_names_of_mod_ssl() -> None:
    # mod_ssl's table "Environment Variables": SSL_CLIENT_S_DN_Email and not _emailAddress.
    kinds = ("title", "initials", "givenName", "surname", "description", "userId", "emailAddress", "localityName")
    parts = attributes(tuple(((kind, "x"),) for kind in kinds))
    assert [kind for kind, _ in parts] == ["T", "I", "G", "S", "D", "UID", "Email", "L"]
    assert distinguished_name(((("emailAddress", "a@b"),),)) == "emailAddress=a@b"

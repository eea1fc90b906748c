"""Contexts made from files: what is wrong with them, which one is chosen, and when they are read anew."""

import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from pyserve.settings import Settings, SettingsError
from pyserve.workers.logs import error_log as logs
from pyserve.workers.logs.error_log import ErrorLog
from pyserve.workers.tls.certificates import Certificates
from pyserve.workers.tls.channel import State, TlsChannel
from tests.tls import authority, client_context, issued, write_authority, write_certificate, write_crl


def pem(path: Path, *blobs: trustme.Blob) -> str:
    path.write_bytes(b"".join(blob.bytes() for blob in blobs))
    return str(path)


def handshake(
    certificates: Certificates, name: str, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
) -> ssl.SSLObject:
    """A client's end of a connection that asked for `name`; raises what the client sees."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = (context or client_context()).wrap_bio(incoming, outgoing, server_hostname=name, session=session)
    channel = TlsChannel(certificates)
    for _ in range(4):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        if outgoing.pending:
            channel.receive(outgoing.read())
        incoming.write(channel.take())
    assert channel.state is State.OPEN, channel.complaint
    return client


def shown(certificates: Certificates, name: str) -> bytes | None:
    return handshake(certificates, name).getpeercert(binary_form=True)


def leaf(*names: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(issued(*names).cert_chain_pems[0].bytes().decode())


# What is wrong


def encrypted_key(path: Path, *names: str) -> str:
    key = serialization.load_pem_private_key(issued(*names).private_key_pem.bytes(), None)
    octets = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"sesame"),
    )
    path.write_bytes(octets)
    return str(path)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Good files, and all kinds of bad ones."""
    certificate = issued("a.example")
    (tmp_path / "garbage").write_bytes(b"-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    stranger, revoked = trustme.CA().cert_pem, write_crl(tmp_path / "list")
    return {
        "good": pem(tmp_path / "good", certificate.private_key_and_cert_chain_pem),
        "certificate": pem(tmp_path / "certificate", *certificate.cert_chain_pems),
        "key": pem(tmp_path / "key", certificate.private_key_pem),
        "other key": pem(tmp_path / "other", issued("b.example").private_key_pem),
        "encrypted": encrypted_key(tmp_path / "encrypted", "a.example"),
        "broken key": pem(tmp_path / "broken", trustme.Blob(b"-----BEGIN PRIVATE KEY-----\nxx\n")),
        "garbage": str(tmp_path / "garbage"),
        "empty": str(tmp_path / "empty"),
        "missing": str(tmp_path / "missing"),
        "folder": str(tmp_path / "folder"),
        "authority": str(write_authority(tmp_path / "authority")),
        "stranger": pem(tmp_path / "stranger", stranger),
        "list": str(revoked),
        "list and stranger": pem(tmp_path / "both", trustme.Blob(revoked.read_bytes()), stranger),
    }


# (settings by the names of the files above, how the line begins, what is in it)
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"certfile": ["missing"]}, "certfile: '", "missing': No such file"),
    ({"certfile": ["empty"]}, "certfile: '", "empty' holds no certificate"),
    ({"certfile": ["key"]}, "certfile: '", "key' holds no certificate"),
    ({"certfile": ["garbage"]}, "certfile: '", "cannot be read"),
    ({"certfile": ["certificate"]}, "certfile: '", "certificate' holds no private key in PEM form; give keyfile"),
    ({"certfile": ["folder"]}, "certfile: '", "folder' holds no certificate with a key"),
    ({"certfile": ["certificate"], "keyfile": ["missing"]}, "keyfile: '", "missing': No such file"),
    ({"certfile": ["certificate"], "keyfile": ["empty"]}, "keyfile: '", "empty' holds no private key"),
    ({"certfile": ["certificate"], "keyfile": ["other key"]}, "keyfile: '", "is not the key of the certificate in"),
    ({"certfile": ["certificate"], "keyfile": ["broken key"]}, "keyfile: '", "broken' cannot be used: "),
    ({"certfile": ["certificate"], "keyfile": ["encrypted"]}, "keyfile: '", "is encrypted; give keyfile_password"),
    (
        {"certfile": ["certificate"], "keyfile": ["encrypted"], "keyfile_password": "x"},
        "keyfile: '",
        "cannot be decrypted with keyfile_password",
    ),
    ({"certfile": ["good", "good"], "keyfile": ["key"]}, "keyfile: ", "given 1 times, for 2 files of certfile"),
    ({"certfile": ["good"], "ciphers": "NONSENSE"}, "ciphers: ", "'NONSENSE'"),
    ({"certfile": ["good"], "cert_reqs": 2}, "cert_reqs: ", "without ca_certs"),
    ({"certfile": ["good"], "cert_reqs": 2, "ca_certs": "missing"}, "ca_certs: '", "missing': No such file"),
    ({"certfile": ["good"], "cert_reqs": 2, "ca_certs": "empty"}, "ca_certs: '", "holds no certificates"),
    (
        {"certfile": ["good"], "cert_reqs": 2, "ca_certs": "authority", "crl_file": "empty"},
        "crl_file: '",
        "holds no revocation list",
    ),
    (
        {"certfile": ["good"], "cert_reqs": 2, "ca_certs": "authority", "crl_file": "stranger"},
        "crl_file: '",
        "holds no revocation list",
    ),
    (
        {"certfile": ["good"], "cert_reqs": 2, "ca_certs": "authority", "crl_file": "list and stranger"},
        "crl_file: '",
        "holds certificates, too; those to be trusted belong into ca_certs",
    ),
    ({"certfile": ["good"], "cert_reqs": 2, "ca_certs": "list"}, "ca_certs: '", "holds no certificates"),
    ({"certfile": ["good"], "ssl_context": lambda config, factory: None}, "ssl_context: ", "it returned None"),
    ({"certfile": ["good"], "ssl_context": lambda config, factory: 1 / 0}, "ssl_context: ", "ZeroDivisionError"),
    ({"certfile": ["good"], "ssl_context_factory": lambda config, factory: 1}, "ssl_context_factory: ", "returned 1"),
    ({"ssl_context_factory": lambda config, factory: factory()}, "ssl_context_factory: ", "needs certfile"),
]


@pytest.mark.parametrize(("given", "begins", "text"), BAD)
def test_a_bad_file_is_named_with_its_setting(
    files: dict[str, str], given: dict[str, Any], begins: str, text: str
) -> None:
    settings = {name: files.get(value, value) if isinstance(value, str) else value for name, value in given.items()}
    for name in ("certfile", "keyfile"):
        settings[name] = tuple(files[file] for file in given.get(name, ()))
    with pytest.raises(SettingsError) as raised:
        Certificates(Settings(**settings))
    assert str(raised.value).startswith(begins)
    assert text in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 1


# What is good


def test_key_and_certificate_in_one_file_or_two(files: dict[str, str]) -> None:
    for settings in (
        Settings(certfile=(files["good"],)),
        Settings(certfile=(files["certificate"],), keyfile=(files["key"],)),
        Settings(certfile=(files["certificate"],), keyfile=(files["encrypted"],), keyfile_password="sesame"),
    ):
        certificates = Certificates(settings)
        assert shown(certificates, "a.example") == leaf("a.example")
        assert certificates.leaf(certificates.context) == issued("a.example").cert_chain_pems[0].bytes().decode()


def test_paths_are_those_of_the_beginning(
    files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    certificates = Certificates(Settings(certfile=("good",)))
    monkeypatch.chdir("/")
    assert not certificates.look(logs.setup(Settings(errorlog="/dev/null")), settled=True)


def names_of(certificates: Certificates, *names: str) -> list[str]:
    """Which certificate is shown to who asks for each of these: its first name."""
    context = client_context()
    context.check_hostname = False
    found = []
    for name in names:
        certificate = handshake(certificates, name, context).getpeercert()
        assert certificate is not None
        found.append(str(certificate["subjectAltName"][0][1]))  # type: ignore[index]
    return found


def test_one_of_several_by_the_name_asked_for(tmp_path: Path) -> None:
    one, two, three = (
        str(write_certificate(tmp_path / str(number), *names))
        for number, names in enumerate((["a.example"], ["b.example", "*.b.example"], ["c.example"]))
    )
    certificates = Certificates(Settings(certfile=(one, two, three)))
    asked = ("a.example", "B.example", "x.b.example", "x.y.b.example", "c.example", "unknown.example")
    assert names_of(certificates, *asked) == [
        "a.example", "b.example", "b.example", "a.example", "c.example", "a.example",
    ]  # fmt: skip
    context = client_context()
    context.check_hostname = False
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    channel = TlsChannel(certificates)
    client = context.wrap_bio(incoming, outgoing)  # which asks for nobody: no error
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    channel.receive(outgoing.read())
    assert channel.take()


def test_a_directory(tmp_path: Path) -> None:
    write_certificate(tmp_path / "a.pem", "a.example")
    pem(tmp_path / "b.crt", *issued("b.example").cert_chain_pems)
    pem(tmp_path / "b.key", issued("b.example").private_key_pem)
    for name, certificate, key in (("c", "fullchain.pem", "privkey.pem"), ("d", "tls.crt", "tls.key")):
        (tmp_path / name).mkdir()
        pem(tmp_path / name / certificate, *issued(f"{name}.example").cert_chain_pems)
        pem(tmp_path / name / key, issued(f"{name}.example").private_key_pem)
    (tmp_path / "README").write_text("what else is there is not looked at")
    pem(tmp_path / "chain.pem", authority().cert_pem)
    asked = [f"{letter}.example" for letter in "abcd"]
    certificates = Certificates(Settings(certfile=(str(tmp_path),)))
    assert names_of(certificates, *asked) == asked
    assert names_of(Certificates(Settings(certfile=(str(tmp_path / "c"),))), "a.example") == ["c.example"]


def test_keys_of_two_kinds_for_one_name(tmp_path: Path) -> None:
    paths = []
    for kind in (trustme.KeyType.RSA, trustme.KeyType.ECDSA):
        certificate = authority().issue_cert("a.example", key_type=kind)
        paths.append(pem(tmp_path / kind.name, certificate.private_key_and_cert_chain_pem))
    certificates = Certificates(Settings(certfile=tuple(paths)))
    used = []
    for ciphers in ("aRSA", "aECDSA"):
        context = client_context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
        used.append(handshake(certificates, "a.example", context).cipher()[0])  # type: ignore[index]
    assert "-RSA-" in used[0]
    assert "-ECDSA-" in used[1]


@pytest.mark.parametrize("kinds", [("RSA", "ECDSA"), ("ECDSA", "RSA")])
def test_a_key_of_another_kind_is_not_the_certificates(tmp_path: Path, kinds: tuple[str, str]) -> None:
    ours, other = (authority().issue_cert("a.example", key_type=trustme.KeyType[kind]) for kind in kinds)
    certificate = pem(tmp_path / "certificate", *ours.cert_chain_pems)
    with pytest.raises(SettingsError, match="is not the key of the certificate in"):
        Certificates(Settings(certfile=(certificate,), keyfile=(pem(tmp_path / "key", other.private_key_pem),)))


def test_the_hook_makes_the_context(files: dict[str, str]) -> None:
    given: list[Any] = []

    def hook(config: Any, factory: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        given.append(config.certfile)
        context = factory()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    certificates = Certificates(Settings(certfile=(files["good"],), ssl_context=hook))
    assert given == [files["good"]]
    old = client_context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(certificates, "a.example", old)
    assert handshake(certificates, "a.example").version() == "TLSv1.3"


def test_a_factory_needs_no_certfile(files: dict[str, str]) -> None:
    def factory(config: Any, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        assert config.is_ssl
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files["good"])
        return context

    certificates = Certificates(Settings(ssl_context_factory=factory))
    assert handshake(certificates, "a.example").version() == "TLSv1.3"
    assert certificates.leaf(certificates.context) is None


def test_ciphers_of_tls_1_2(files: dict[str, str]) -> None:
    certificates = Certificates(Settings(certfile=(files["good"],), ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"))
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    cipher = handshake(certificates, "a.example", context).cipher()
    assert cipher is not None
    assert cipher[0] == "ECDHE-ECDSA-AES128-GCM-SHA256"


# Certificates of clients


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_certificates_of_clients(files: dict[str, str], tmp_path: Path, version: ssl.TLSVersion) -> None:
    def settings(cert_reqs: int, **more: Any) -> Settings:
        return Settings(certfile=(files["good"],), ca_certs=files["authority"], cert_reqs=cert_reqs, **more)

    def accepts(settings: Settings, client: trustme.LeafCert | None) -> bool:
        context = client_context(client)
        context.maximum_version = version
        try:
            handshake(Certificates(settings), "a.example", context)
        except (ssl.SSLError, AssertionError):
            return False
        return True

    known, revoked = issued("known@example.org"), issued("revoked@example.org")
    stranger = trustme.CA().issue_cert("stranger@example.org")
    assert [accepts(settings(1), client) for client in (None, known, stranger)] == [True, True, False]
    assert [accepts(settings(2), client) for client in (None, known, stranger)] == [False, True, False]
    crl = str(write_crl(tmp_path / "crl", revoked))
    assert accepts(settings(2), revoked)
    assert [accepts(settings(2, crl_file=crl), client) for client in (known, revoked)] == [True, False]
    # The list beside the authority that has made it, in the one file for both.
    both = pem(tmp_path / "both", authority().cert_pem, trustme.Blob((tmp_path / "crl").read_bytes()))
    one_file = Settings(certfile=(files["good"],), ca_certs=both, cert_reqs=2, crl_file=both)
    assert [accepts(one_file, client) for client in (known, revoked)] == [True, False]


def test_a_new_revocation_list_ends_sessions(files: dict[str, str], tmp_path: Path, log: ErrorLog) -> None:
    one = issued("one@example.org")
    crl = write_crl(tmp_path / "crl")
    certificates = Certificates(
        Settings(certfile=(files["good"],), ca_certs=files["authority"], cert_reqs=2, crl_file=str(crl))
    )
    context = client_context(one)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    session = handshake(certificates, "a.example", context).session
    assert handshake(certificates, "a.example", context, session).session_reused
    write_crl(crl, one)
    assert certificates.look(log, settled=True)
    with pytest.raises((ssl.SSLError, AssertionError), match="revoked"):
        handshake(certificates, "a.example", context, session)
    log.close()


# Changes


@pytest.fixture
def log(tmp_path: Path) -> ErrorLog:
    return logs.setup(Settings(errorlog=str(tmp_path / "log")))


def replace(path: str, octets: bytes) -> None:
    """As certbot and Kubernetes do it: another file in its place."""
    Path(path + ".new").write_bytes(octets)
    os.replace(path + ".new", path)


def test_a_changed_file_is_read_when_it_stays_as_it_is(files: dict[str, str], log: ErrorLog) -> None:
    certificates = Certificates(Settings(certfile=(files["certificate"],), keyfile=(files["key"],)))
    before = certificates.context
    assert not certificates.look(log)
    fresh = authority().issue_cert("a.example")
    replace(files["certificate"], fresh.cert_chain_pems[0].bytes())
    assert not certificates.look(log)  # its key is still to come
    replace(files["key"], fresh.private_key_pem.bytes())
    assert not certificates.look(log)
    assert certificates.context is before
    assert certificates.look(log)
    assert certificates.context is not before
    assert shown(certificates, "a.example") == ssl.PEM_cert_to_DER_cert(fresh.cert_chain_pems[0].bytes().decode())
    assert not certificates.look(log)
    log.close()


def test_a_broken_file_changes_nothing_and_is_told_once(files: dict[str, str], log: ErrorLog, tmp_path: Path) -> None:
    certificates = Certificates(Settings(certfile=(files["good"],)))
    before = certificates.context
    good = Path(files["good"]).read_bytes()
    os.unlink(files["good"])
    assert [certificates.look(log) for _ in range(5)] == [False] * 5
    replace(files["good"], b"nonsense")
    assert [certificates.look(log) for _ in range(5)] == [False] * 5
    assert certificates.context is before
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 2
    assert "No such file" in lines[0]
    assert "holds no certificate" in lines[1]
    replace(files["good"], good)
    assert [certificates.look(log) for _ in range(3)] == [False, True, False]
    log.close()


def test_files_that_come_into_a_directory(tmp_path: Path, log: ErrorLog) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write_certificate(folder / "a.pem", "a.example")
    certificates = Certificates(Settings(certfile=(str(folder),)))
    write_certificate(folder / "b.pem", "b.example")
    assert certificates.look(log, settled=True)
    assert names_of(certificates, "b.example") == ["b.example"]
    log.close()


def test_a_certificate_that_breaks_in_a_directory_is_not_done_without(tmp_path: Path, log: ErrorLog) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b"):
        write_certificate(folder / f"{name}.pem", f"{name}.example")
    certificates = Certificates(Settings(certfile=(str(folder),)))
    replace(str(folder / "b.pem"), b"")
    assert [certificates.look(log) for _ in range(3)] == [False] * 3
    assert names_of(certificates, "a.example", "b.example") == ["a.example", "b.example"]
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 1
    assert "b.pem' is no certificate with a key any more" in lines[0]
    os.unlink(folder / "b.pem")
    assert [certificates.look(log) for _ in range(3)] == [False, True, False]
    assert names_of(certificates, "a.example", "b.example") == ["a.example", "a.example"]
    log.close()

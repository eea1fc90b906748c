"""TLS as ordinary clients meet it: curl, httpx, Python's ssl, openssl s_client; and certificates that change."""

import hashlib
import os
import re
import signal
import ssl
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.integration.clients import curl
from tests.integration.server import APPS, COMMAND, ENDURANCE, HOST, PATIENCE, Server, environment, wait_for
from tests.integration.ways import BOTH, FEW
from tests.tls import authority, client_context, write_authority, write_certificate

Serve = Callable[..., Server]


@pytest.fixture
def certfile(tmp_path: Path) -> Path:
    return write_certificate(tmp_path / "server.pem")


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    return write_authority(tmp_path / "authority.pem")


def encrypted(server: Server, context: ssl.SSLContext | None = None, **more: ssl.SSLSession) -> ssl.SSLSocket:
    return (context or client_context()).wrap_socket(server.connect(), server_hostname="localhost", **more)


def get(connection: ssl.SSLSocket, path: str = "/") -> bytes:
    connection.sendall(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    head, _, content = connection.recv(65536).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    return content


def shown(server: Server) -> bytes | None:
    """The certificate that a new connection is shown."""
    with encrypted(server) as connection:
        return connection.getpeercert(binary_form=True)


def replace(path: Path, octets: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(octets)
    os.replace(fresh, path)


@FEW
def test_clients(serve: Serve, certfile: Path, trusted: Path, app: str, options: tuple[str, ...]) -> None:
    server = serve(app, "--ssl-certfile", str(certfile), *options)
    server.says(r"Listening at: https://127\.0\.0\.1:\d+")
    url = server.url.replace("http:", "https:")

    assert curl(server, "/").heads.startswith("HTTP/1.1 400 ")  # http:// here, and told so

    # curl, with either version, several requests on a connection, and a large upload
    content = os.urandom(1_000_000)
    (server.directory / "upload").write_bytes(content)
    for version in ("1.2", "1.3"):
        command = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", f"{PATIENCE:g}"]
        command += ["--cacert", str(trusted), "--tls-max", version, "--write-out", " %{num_connects}", f"{url}/"]
        command += ["--data-binary", f"@{server.directory / 'upload'}", f"{url}/digest", f"{url}/digest"]
        done = subprocess.run(command, capture_output=True, check=True, env={})
        assert done.stdout.count(hashlib.sha256(content).hexdigest().encode()) == 2
        assert done.stdout.endswith(b" 0")  # the last one came over the connection of the first

    # httpx, over TCP and the unix socket
    for socket_path in (None, str(server.socket)):
        transport = httpx.HTTPTransport(uds=socket_path, verify=client_context())
        with httpx.Client(transport=transport, base_url=url, timeout=PATIENCE, trust_env=False) as client:
            assert client.get("/").text == "hello\n"
            assert client.post("/echo", content=content).content == content
            assert client.get("/stream").status_code == 200

    # openssl s_client: what was agreed on, and a client that wants to negotiate anew
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{HOST}:{server.port}", "-alpn", "h2,http/1.1", "-CAfile", str(trusted)],
        input=b"", capture_output=True, check=True, timeout=PATIENCE,
    )  # fmt: skip
    assert b"ALPN protocol: http/1.1" in done.stdout
    assert b"Compression: NONE" in done.stdout
    assert b"Verify return code: 0 (ok)" in done.stdout
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{HOST}:{server.port}", "-tls1_2"],
        input=b"R\n", capture_output=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert b"no renegotiation" in done.stderr

    # what comes before TLS 1.2 is refused
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        encrypted(server, old)


@BOTH
def test_a_session_is_resumed_whichever_worker_takes_the_connection(serve: Serve, certfile: Path, app: str) -> None:
    server = serve(app, "--certfile", str(certfile), "--workers", "2", "--reuse-port")
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with encrypted(server, context) as first:
        get(first)
        session = first.session
    assert session is not None
    workers = set()
    while len(workers) < 2:  # the kernel chooses by chance
        with encrypted(server, context, session=session) as connection:
            assert connection.session_reused
            workers.add(get(connection, "/pid"))


@BOTH
def test_a_changed_certificate(serve: Serve, certfile: Path, app: str) -> None:
    server = serve(app, "--certfile", str(certfile), "--keep-alive", "60")
    before = shown(server)
    with encrypted(server) as kept:
        get(kept)
        fresh = authority().issue_cert("localhost")
        replace(certfile, fresh.private_key_and_cert_chain_pem.bytes())
        wait_for(lambda: shown(server) != before, "the new certificate")
        server.says("TLS goes on with new certificates")
        get(kept)
        after = shown(server)
        replace(certfile, b"nonsense")
        server.says(r"\[ERROR\] TLS goes on with the certificates it has.*server\.pem' holds no certificate")
        assert shown(server) == after
        get(kept)
    assert len(server.logged("TLS goes on with the certificates it has")) == 1


def test_a_reload_reads_what_a_start_would(serve: Serve, certfile: Path) -> None:
    """With a broken file it changes nothing."""
    server = serve("plain_wsgi", "--certfile", str(certfile))
    before = shown(server)
    good = certfile.read_bytes()
    replace(certfile, b"nonsense")
    server.send(signal.SIGHUP)
    server.says(r"certfile: '.*' holds no certificate")
    assert shown(server) == before
    replace(certfile, good)
    workers = server.workers()
    server.send(signal.SIGHUP)
    wait_for(lambda: server.workers() and not set(workers) & set(server.workers()), "new workers")
    assert shown(server) == before


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, "--app-dir", str(APPS), "--bind", f"{HOST}:0", *arguments]
    return subprocess.run(
        command, cwd=directory, env=environment({}), capture_output=True, text=True, timeout=ENDURANCE, check=False
    )


BAD = [
    (["--certfile", "missing.pem"], r"certfile: '.*/missing.pem': No such file or directory"),
    (["--certfile", "server.pem", "--keyfile", "empty"], r"keyfile: '.*/empty' holds no private key in PEM form"),
    (["--keyfile", "server.pem"], "keyfile: 'server.pem' given without certfile"),
    (["--certfile", "missing.pem", "--check-config"], r"certfile: '.*/missing.pem': No such file or directory"),
]


@pytest.mark.timeout(2 * ENDURANCE)
def test_bad_files_at_the_start(tmp_path: Path, certfile: Path) -> None:
    (tmp_path / "empty").touch()
    with ThreadPoolExecutor(len(BAD)) as pool:
        ends = list(pool.map(lambda case: run(tmp_path, *case[0], "plain_wsgi"), BAD))
    for (_, line), end in zip(BAD, ends, strict=True):
        assert end.returncode == 1
        told = [text for text in end.stderr.splitlines() if "file: '" in text]
        assert len(told) == 1
        assert re.search(line, told[0])
        assert "Traceback" not in end.stderr


HOOK = """
import ssl

def ssl_context(config, default_ssl_context_factory):
    context = default_ssl_context_factory()
    assert config.certfile.endswith("server.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
"""


def test_gunicorns_hook(serve: Serve, certfile: Path, tmp_path: Path) -> None:
    (tmp_path / "conf.py").write_text(HOOK + f"certfile = {str(certfile)!r}\n")
    server = serve("plain_wsgi", "-c", str(tmp_path / "conf.py"))
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        encrypted(server, context)
    with encrypted(server) as connection:
        assert connection.version() == "TLSv1.3"

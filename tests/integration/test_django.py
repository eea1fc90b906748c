"""Django, the same site as WSGI and as ASGI: the admin, forms with CSRF tokens, streaming, uploads, files."""

import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.clients import write_random
from tests.integration.points import ASGI, WSGI, Point
from tests.integration.server import APPS, Server, environment, running

ERRORS = ("LookupError: ", "DisallowedHost: ")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with one user, to be copied."""
    directory = tmp_path_factory.mktemp("database")
    subprocess.run([sys.executable, str(APPS / "django_site.py")], cwd=directory, env=environment({}), check=True)
    return directory / "site.sqlite3"


@pytest.fixture(scope="module", params=[*WSGI, *ASGI])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, database: Path
) -> Iterator[Server]:
    point: Point = request.param
    directory = tmp_path_factory.mktemp("django")
    shutil.copy(database, directory)
    write_random(directory / "payload", 400_000)
    app = f"django_site:{point.interface}"
    with running(Server(directory, app, *point.options, errors=ERRORS)) as server:
        yield server


def token_of(page: httpx.Response) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert found, page.text
    return found[1]


def test_the_admin(client: httpx.Client) -> None:
    away = client.get("/admin/")
    assert (away.status_code, away.headers["location"]) == (302, "/admin/login/?next=/admin/")
    page = client.get("/admin/login/?next=/admin/")
    assert "<title>Log in | Django site admin</title>" in page.text
    data = {"username": "admin", "password": "secret", "next": "/admin/", "csrfmiddlewaretoken": token_of(page)}
    assert client.post("/admin/login/", data={**data, "password": "wrong"}).status_code == 200
    entered = client.post("/admin/login/", data=data)
    assert (entered.status_code, entered.headers["location"]) == (302, "/admin/")
    assert "Site administration" in client.get("/admin/").text
    assert "admin@test.example" in client.get("/admin/auth/user/").text


def test_a_form(client: httpx.Client) -> None:
    assert client.post("/form", data={"text": "no token"}).status_code == 403
    token = token_of(client.get("/form"))
    answer = client.post("/form", data={"text": "caf\xe9 & <b>", "csrfmiddlewaretoken": token})
    assert answer.status_code == 200
    assert answer.text.endswith("</form>caf\xe9 &amp; &lt;b&gt;")


def test_a_stream(client: httpx.Client) -> None:
    with client.stream("GET", "/stream?lines=2000") as response:
        assert response.headers["transfer-encoding"] == "chunked"
        lines = list(response.iter_lines())
    assert lines == [f"line {number}" for number in range(2000)]


def test_an_upload(client: httpx.Client) -> None:
    data = bytes(range(256)) * 20_000  # more than Django keeps in memory
    answer = client.post("/upload", files={"file": ("name", data)})
    assert answer.json() == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def test_a_file(client: httpx.Client, server: Server) -> None:
    payload = (server.directory / "payload").read_bytes()
    answer = client.get("/file")
    assert (answer.content, answer.headers["content-length"]) == (payload, str(len(payload)))
    assert client.head("/file").headers["content-length"] == str(len(payload))


def test_what_a_view_is_told(client: httpx.Client, unix: bool) -> None:
    fields = {"host": "test.example:81", "x-test": "caf\xe9".encode("latin-1")}
    found = client.get("/describe?a=%20b", headers=fields).json()
    assert found["url"] == "http://test.example:81/describe?a=%20b"
    assert found["users"] == 1
    assert found["address"] in (("", None) if unix else ("127.0.0.1",))


def test_an_asynchronous_view(client: httpx.Client) -> None:
    assert client.get("/wait").text == "waited"


def test_an_error(client: httpx.Client) -> None:
    assert client.get("/fail").status_code == 500
    assert client.get("/", headers={"host": "unknown.example"}).status_code == 400
    assert client.get("/").text == "hello"

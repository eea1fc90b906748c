"""The same streams of octets to every worker and parser: the same answers, and the same seen by the application."""

import contextlib
import json
import socket
from collections.abc import Iterator
from random import Random

import pytest

from pyserve.protocol.parsers import PARSERS
from tests.fuzz import corpus, grammar
from tests.fuzz.reference import read
from tests.integration.server import Server, running
from tests.protocol.conversation import LIMITS, converse, read_responses

_SEEDS = (0, 75)
SERVERS = [
    (app, ("--worker-class", worker, "--http", parser, "--access-logfile", "/dev/null"))
    for app, worker in (("seen:wsgi", "sync"), ("seen:wsgi", "async"), ("seen:asgi", "async"))
    for parser in PARSERS
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        started = [Server(tmp_path_factory.mktemp("differential"), app, *options) for app, options in SERVERS]
        yield [stack.enter_context(running(server)) for server in started]


def _conversation(server: Server, pieces: list[bytes]) -> bytes:
    """Send the pieces and the end; return all that comes until the server closes."""
    with server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize("kind", ["grammar", "mutants"])
def test_the_same_answers_from_all(servers: list[Server], kind: str) -> None:
    own = corpus.own()
    for seed in range(*_SEEDS):
        random = Random(seed)
        octets = grammar.stream(random) if kind == "grammar" else grammar.mutant(random, own)
        pieces = grammar.cut(random, octets)
        expected = converse([octets], PARSERS["h11"], eof=True).verdict
        requests = read(octets, LIMITS).requests
        methods = [request.method for request in requests]
        seen = []
        for server in servers:
            responses = read_responses(_conversation(server, pieces), methods)
            assert tuple(response.status for response in responses) == expected.statuses, (octets, server.process.args)
            seen.append([json.loads(response[b"seen"] or b"") for response in responses[: len(requests)]])
        assert all(other == seen[0] for other in seen), (octets, seen)
        for request, (method, _, _, version, _, content) in zip(requests, seen[0], strict=True):
            assert (method, version, content.encode("latin-1")) == (request.method, request.version, request.content)

"""What must hold, each as a function of one source of choices; whoever fuzzes gives the source."""

from collections.abc import Callable
from random import Random

from tests.fuzz import answers, corpus, grammar, greetings
from tests.fuzz.streams import check, draw_limits

Property = Callable[[Random], object]

_corpus = corpus.own()


def use_everything() -> int:
    """Make mutants of the raw requests beside the checkout as well; returns how many streams there are then."""
    _corpus[:] = corpus.everything()
    return len(_corpus)


def streams(random: Random) -> None:
    """Streams of the grammar are read alike by both parsers, all cuts and the reference."""
    _read_alike(random, grammar.stream(random))


def mutants(random: Random) -> None:
    """So are mutants of the corpus."""
    _read_alike(random, grammar.mutant(random, _corpus))


def _read_alike(random: Random, octets: bytes) -> None:
    limits = draw_limits(random)
    eof = not random.randrange(3)
    check(octets, limits, [grammar.cut(random, octets)], eof)


def orderly(random: Random) -> None:
    """Whatever an application does in its interface's order, a client reads what it said."""
    _answer(random, orderly=True)


def disorderly(random: Random) -> None:
    """Whatever an application does in any order, a client reads HTTP."""
    _answer(random, orderly=False)


def _answer(random: Random, *, orderly: bool) -> None:
    octets = grammar.stream(random) if not random.randrange(4) else grammar.good_stream(random)
    limits = draw_limits(random)
    interface = random.choice(answers.INTERFACES)
    answers.converse(random, octets, grammar.cut(random, octets), limits, interface, orderly=orderly)


def proxied(random: Random) -> None:
    """A PROXY header, or what begins like one, is read alike however it is cut."""
    greetings.check(random)


PROPERTIES: dict[str, Property] = {
    "proxied": proxied,
    "streams": streams,
    "mutants": mutants,
    "orderly": orderly,
    "disorderly": disorderly,
}

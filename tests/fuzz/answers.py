"""What holds for any application on any connection: what leaves is HTTP, and says what the application said."""

from dataclasses import replace
from random import Random

from pyserve.protocol.errors import ApplicationError, Disconnected
from pyserve.protocol.exchange import Sending
from pyserve.protocol.limits import Limits
from pyserve.protocol.parsers import PARSERS
from tests.fuzz import plans
from tests.fuzz.disorder import DisorderlyAsgi, DisorderlyExchange, DisorderlyWsgi
from tests.fuzz.drivers import Accident, Answered, AsgiDriver, Driver, ExchangeDriver, WsgiDriver
from tests.fuzz.plans import Failure, Plan
from tests.fuzz.reference import Reading, read
from tests.protocol.conversation import Response, read_responses

ORDERLY: dict[str, type[Driver]] = {"exchange": ExchangeDriver, "wsgi": WsgiDriver, "asgi": AsgiDriver}
DISORDERLY = {"exchange": DisorderlyExchange, "wsgi": DisorderlyWsgi, "asgi": DisorderlyAsgi}
INTERFACES = tuple(ORDERLY)
_NOT_SENT_ON = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}


def converse(
    random: Random, octets: bytes, pieces: list[bytes], limits: Limits, interface: str, *, orderly: bool
) -> Driver:
    """Answer what comes in `pieces`, all of them `octets`, with plans drawn by chance; hold all to what must be.

    orderly: by applications that keep to their interface's order of calls.
    """
    parser = random.choice(list(PARSERS))
    drawn: list[Plan] = []

    def draw() -> Plan:
        drawn.append(plans.draw(random))
        return drawn[-1]

    kinds = ORDERLY if orderly else DISORDERLY
    driver = kinds[interface](PARSERS[parser], limits, list(pieces), iter(draw, None))
    driver.random = random
    befalls = random.choice([None, None, None, "eof", "eof", "lose", "expire", "retire"])
    driver.accident = Accident(befalls, random.randrange(len(pieces) + 1)) if befalls else None
    try:
        driver.run()
        check(driver, read(octets, limits), orderly=orderly, broken=befalls is not None)
    except BaseException as error:
        error.add_note(
            f"{type(driver).__name__}, {parser}, {limits}, {befalls}\n{pieces}\n" + "\n".join(map(_shown, drawn))
        )
        raise
    return driver


def check(driver: Driver, reading: Reading, *, orderly: bool, broken: bool) -> None:
    """Hold a conversation that is over against what was asked, what was answered and what a client reads."""
    wire = driver.wire
    assert driver.opened == driver.closed
    assert not wire.out
    _check_requests(driver, reading)
    methods = [exchange.method for exchange in driver.exchanges]
    responses = read_responses(bytes(driver.sent), methods, wire.closing and not driver.lost)
    if not driver.lost:
        refused_unseen = wire.error is not None and wire.exchange not in driver.exchanges
        assert len(responses) in (len(methods), len(methods) + refused_unseen), (methods, responses)
    by_exchange = dict(zip(driver.exchanges, responses, strict=False))
    for answered in driver.answered:
        response = by_exchange.get(answered.exchange)
        if not orderly:
            assert driver.lost or answered.exchange.sending is Sending.DONE
        elif response is not None:
            _check_response(driver, answered, response)
        else:
            assert driver.lost
    for response in responses[:-1]:
        assert response.whole
        assert response[b"connection"] != b"close"
    if responses and not driver.lost:
        _check_last(driver, responses[-1], broken)


def _check_requests(driver: Driver, reading: Reading) -> None:
    """What the application saw is what the reference reads, and nothing that it does not."""
    expected = [*reading.requests, *([reading.begun] if reading.begun else [])]
    assert len(driver.exchanges) <= len(expected), (driver.exchanges, reading)
    seen = [(e.method, e.target, e.version, tuple(e.fields)) for e in driver.exchanges]
    assert seen == [(r.method, r.target, r.version, r.fields) for r in expected[: len(seen)]]
    requests = dict(zip(driver.exchanges, expected, strict=False))
    for answered in driver.answered:
        request = requests[answered.exchange]
        assert request.content.startswith(answered.taken)
        if answered.ended:
            assert request is not reading.begun
            assert request.content == answered.taken


def _check_response(driver: Driver, answered: Answered, response: Response) -> None:
    exchange, plan, error = answered.exchange, answered.plan, answered.error
    assert driver.lost or exchange.sending is Sending.DONE
    if exchange.version == "1.0":
        assert not response.informational
    if error is None:
        assert not _is_bad(driver, answered)
        _check_sent(driver, answered, response)
    elif isinstance(error, Disconnected):
        assert driver.lost or exchange.error is not None
    elif isinstance(error, ApplicationError):
        assert _is_bad(driver, answered), error
    else:
        assert isinstance(error, Failure)
    if exchange.error is not None and response.status == exchange.error.status:
        pass  # the peer's mistake came first
    elif error is not None and answered.begun:
        assert plan.content.startswith(response.content)
        if response.whole and response.content != _expected(answered):
            assert driver.wire.cut  # only a reset can tell the client that this is not the end
    elif isinstance(error, ApplicationError | Failure):
        assert (response.status, response.whole, response[b"connection"]) == (500, True, b"close")


def _is_bad(driver: Driver, answered: Answered) -> bool:
    """Whether the plan holds what may not be sent, and the interface had a way to send it."""
    plan = answered.plan
    if plan.bad == "hints":
        if isinstance(driver, AsgiDriver):
            value = plan.hints[0][0][1]
            return answered.exchange.version != "1.0" and any(
                (octet < 32 and octet != 9) or octet == 127 for octet in value
            )
        return isinstance(driver, ExchangeDriver) and answered.exchange.version != "1.0"
    if plan.bad == "trailers":
        return not isinstance(driver, WsgiDriver)
    return bool(plan.bad) or _has_two_lengths(plan)


def _has_two_lengths(plan: Plan) -> bool:
    return sum(name.lower() == b"content-length" for name, _ in plan.fields) > 1


def _check_sent(driver: Driver, answered: Answered, response: Response) -> None:
    """A response without a mistake arrives as it is, as far as it may have content."""
    exchange, plan = answered.exchange, answered.plan
    assert response.status == plan.status
    if not isinstance(driver, WsgiDriver) and exchange.version != "1.0":
        assert response.informational.count(103) == len(plan.hints)
    sent = [(name.lower(), value.strip(b" \t")) for name, value in plan.fields if name.lower() not in _NOT_SENT_ON]
    own = {name for name, _ in sent} - {b"content-length"}
    got = [(name, value) for name, value in response.fields if name in own]
    assert got == [(name, value) for name, value in sent if name in own]
    if exchange.method == "CONNECT" and plan.status < 300:
        return  # behind it the connection is a tunnel's, for h11 as well
    assert response.content == _expected(answered)
    short = _has_content(answered) and plan.declared is not None and len(plan.content) < plan.declared
    assert response.whole != short
    length, coding = response[b"content-length"], response[b"transfer-encoding"]
    assert length is None or coding is None
    if plan.status == 204:
        assert length is None
    elif length is not None and plan.status != 205:
        assert int(length) == (len(plan.content) if plan.declared is None else plan.declared)
    takes_trailers = b"trailers" in [option.strip().lower() for option in exchange.index.get(b"te", b"").split(b",")]
    if plan.trailers and coding and takes_trailers and not isinstance(driver, WsgiDriver):
        assert [value for _, value in response.trailers] == [value.strip(b" \t") for _, value in plan.trailers]
    else:
        assert not response.trailers


def _has_content(answered: Answered) -> bool:
    return answered.exchange.method != "HEAD" and answered.plan.status not in (204, 205, 304)


def _expected(answered: Answered) -> bytes:
    """The content that a client has to read if all goes well."""
    return answered.plan.content[: answered.plan.declared] if _has_content(answered) else b""


def _check_last(driver: Driver, response: Response, broken: bool) -> None:
    """The last response says whether the connection is closed behind it."""
    wire = driver.wire
    says = response[b"connection"]
    if says == b"close":
        assert wire.closing
    if not response.whole:
        assert wire.closing
    if not broken and response.whole and not wire.closing:
        last = driver.exchanges[-1]
        assert says == (b"keep-alive" if last.version == "1.0" else None)


def _shown(plan: Plan) -> str:
    shown = tuple(piece if len(piece) < 100 else piece[:20] + b"... %d" % len(piece) for piece in plan.pieces)
    return repr(replace(plan, pieces=shown))

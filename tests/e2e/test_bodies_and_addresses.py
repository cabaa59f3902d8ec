"""Body limits, timeouts, streams, and whom a request is taken to come from."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.clients import Client, Field, chunked, read_reply, request
from tests.e2e.credentials import FREE, PREMIUM
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import Answer, Upstream, started

pytestmark = pytest.mark.e2e

KIB = 1024
GATEWAY = (
    HEAD.replace(
        "listeners: [",
        """listeners: [
  {name: behind-one, address: "${BEHIND_ONE}", trusted_proxies: {hops: 1}},
  {name: behind-two, address: "${BEHIND_TWO}", trusted_proxies: {hops: 2}},
  {name: proxied, address: "${PROXIED}", trusted_proxies: {proxy_protocol: true}},
  """,
    )
    + """
upstreams:
  main: {endpoints: ["${MAIN}"]}
  hasty: {endpoints: ["${MAIN}"], timeout: 300ms}
  hasty-again: {endpoints: ["${MAIN}"], timeout: 300ms, retries: 1}
defaults: {authenticate: partners, limits: [], timeout: 1s, body_limit: 64KiB}
routes:
  - {name: upload, match: {path: /upload}, upstream: main}
  - {name: open-upload, match: {path: /open-upload}, upstream: main, authenticate: none}
  - {name: large-upload, match: {path: /large-upload}, upstream: main, body_limit: 8MiB, timeout: 10s}
  - {name: small-upload, match: {path: /small-upload}, upstream: main, body_limit: 10}
  - {name: slow, match: {path: /slow}, upstream: main, timeout: 400ms}
  - {name: hasty, match: {path: /hasty}, upstream: hasty, timeout: 5s}
  - {name: hasty-again, match: {path: /hasty-again}, upstream: hasty-again, timeout: 5s}
  - {name: stream, match: {path: /stream}, upstream: main, stream: true}
  - {name: who, match: {path: /who}, upstream: main}
  - {name: few, match: {path: /few}, upstream: main, limits: [{per: address, rate: 2/hour}]}
  - name: few-by-rls
    match: {path: /few-by-rls}
    upstream: main
    authenticate: none
    limits: [{per: address, rate: 2/hour}]
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, [upstream], ["BEHIND_ONE", "BEHIND_TWO", "PROXIED"]) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.clear()


def body_of(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + b"x" * (size % 256)


@pytest.mark.parametrize("path", ["/upload", "/open-upload"])
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_body_over_the_limit_is_413_before_anybody_is_asked(
    gateway: RunningGateway, upstream: Upstream, path: str, framing: str
) -> None:
    body = body_of(64 * KIB + 1)
    field = (framing, str(len(body))) if framing == "content-length" else ("transfer-encoding", "chunked")
    raw = request("POST", path, ("host", "gateway.test"), FREE, field)
    with gateway.watched() as decisions:
        reply = gateway.client.send(
            raw + (body if framing == "content-length" else chunked(body[:60000], body[60000:]))
        )
    assert reply is not None
    assert (reply.status, reply.reason) == (413, "body_too_large")
    assert decisions == []
    assert upstream.received == []


@pytest.mark.parametrize(
    ("path", "size"), [("/upload", 64 * KIB), ("/upload", 0), ("/open-upload", 64 * KIB), ("/small-upload", 10)]
)
def test_a_body_within_the_limit_arrives_whole(
    gateway: RunningGateway, upstream: Upstream, path: str, size: int
) -> None:
    body = body_of(size)
    assert gateway.client.ask("POST", path, FREE, body=body).status == 200
    assert upstream.only().body == body


def test_a_chunked_body_within_the_limit_arrives_whole(gateway: RunningGateway, upstream: Upstream) -> None:
    parts = [body_of(30_000), b"y", body_of(30_000)]
    raw = request("POST", "/upload", ("host", "gateway.test"), FREE, ("transfer-encoding", "chunked"))
    reply = gateway.client.send(raw + chunked(*parts))
    assert reply is not None
    assert reply.status == 200
    assert upstream.only().body == b"".join(parts)


def test_a_route_raises_the_limit_beyond_what_a_grpc_message_may_have(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    body = body_of(4_300_000)
    assert gateway.client.ask("POST", "/large-upload", FREE, body=body).status == 200
    assert upstream.only().body == body


def test_a_route_lowers_the_limit(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.ask("POST", "/small-upload", FREE, body=b"eleven byte")
    assert (reply.status, reply.reason) == (413, "body_too_large")
    assert upstream.received == []


def test_a_route_that_is_too_slow_is_504(gateway: RunningGateway, upstream: Upstream) -> None:
    upstream.answers["/slow"] = Answer(delay=1)
    reply = gateway.client.get("/slow", FREE)
    assert (reply.status, reply.reason) == (504, "upstream_timeout")
    assert len(upstream.received) == 1


@pytest.mark.parametrize("path", ["/hasty", "/hasty-again"])
def test_an_upstreams_own_timeout_ends_its_try_and_nothing_is_sent_twice(
    gateway: RunningGateway, upstream: Upstream, path: str
) -> None:
    upstream.answers[path] = Answer(delay=2)
    reply = gateway.client.ask("POST", path, FREE, body=b"once")
    assert (reply.status, reply.reason) == (504, "upstream_timeout")
    assert upstream.only().body == b"once"


def test_a_stream_outlives_the_default_timeout_and_is_passed_on_event_by_event(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    events = [b"data: %d\n\n" % number for number in range(6)]
    upstream.answers["/stream"] = Answer(
        fields=(("content-type", "text/event-stream"),), chunks=tuple((0.3, event) for event in events)
    )
    with gateway.client.connected() as connection:
        started_at = time.monotonic()
        connection.sendall(request("GET", "/stream", ("host", "gateway.test"), FREE))
        head = connection.recv(64 * KIB)
        rest = b""
        while not (head + rest).endswith(b"0\r\n\r\n"):
            received = connection.recv(64 * KIB)
            assert received, "the stream was cut"
            rest += received
        whole = time.monotonic() - started_at
    assert head.startswith(b"HTTP/1.1 200")
    assert all(event in head + rest for event in events)
    assert events[-1] not in head
    assert whole > 1.7


@pytest.mark.parametrize(
    ("listener", "forwarded", "address"),
    [
        ("GATEWAY_ADDRESS", None, "127.0.0.1"),
        ("GATEWAY_ADDRESS", "203.0.113.9", "127.0.0.1"),
        ("GATEWAY_ADDRESS", "203.0.113.9, 198.51.100.7, 10.0.0.1", "127.0.0.1"),
        ("BEHIND_ONE", None, "127.0.0.1"),
        ("BEHIND_ONE", "203.0.113.9", "203.0.113.9"),
        ("BEHIND_ONE", "192.0.2.66, 203.0.113.9", "203.0.113.9"),
        ("BEHIND_ONE", "2001:db8::7", "2001:db8::7"),
        ("BEHIND_TWO", "192.0.2.66, 203.0.113.9, 198.51.100.7", "203.0.113.9"),
    ],
)
def test_the_address_is_the_last_one_that_a_trusted_proxy_vouches_for(
    gateway: RunningGateway, upstream: Upstream, listener: str, forwarded: str | None, address: str
) -> None:
    fields = [("x-forwarded-for", forwarded)] if forwarded else []
    reply = Client(gateway.ports[listener]).get("/who", FREE, *fields)
    assert gateway.decision(reply.id)["address"] == address
    assert len(upstream.received) == 1


# The same limit, judged in the fused call and asked about by Envoy's ratelimit filter.
LIMITED = pytest.mark.parametrize("path", ["/few", "/few-by-rls"])


def admitted(client: Client, path: str, source: str, *forwarded: str) -> list[int]:
    """The statuses of one request each, for a limit of two."""
    fields: list[list[Field]] = [[("x-forwarded-for", value)] for value in forwarded]
    return [client.get(path, FREE, *extra, source=source).status for extra in fields]


@LIMITED
def test_a_forged_address_does_not_escape_a_limit_per_address(gateway: RunningGateway, path: str) -> None:
    forged = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
    assert admitted(gateway.client, path, "127.0.0.21", *forged) == [200, 200, 429]
    assert gateway.client.get(path, PREMIUM, source="127.0.0.22").status == 200


@LIMITED
def test_behind_a_trusted_proxy_a_limit_counts_what_that_proxy_says(gateway: RunningGateway, path: str) -> None:
    client = Client(gateway.ports["BEHIND_ONE"])
    forged = ("192.0.2.1, 203.0.113.50", "192.0.2.2, 203.0.113.50", "192.0.2.3, 203.0.113.50", "203.0.113.51")
    assert admitted(client, path, "127.0.0.23", *forged) == [200, 200, 429, 200]


@LIMITED
def test_a_limit_per_address_counts_an_ipv6_site_as_one(gateway: RunningGateway, path: str) -> None:
    client = Client(gateway.ports["BEHIND_ONE"])
    site = ("2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:1:ffff::3", "2001:db8:0:2::1")
    assert admitted(client, path, "127.0.0.24", *site) == [200, 200, 429, 200]


def test_the_proxy_protocol_says_the_address(gateway: RunningGateway, upstream: Upstream) -> None:
    raw = request("GET", "/who", ("host", "gateway.test"), FREE, ("x-forwarded-for", "192.0.2.1"))
    head = b"PROXY TCP4 203.0.113.5 192.0.2.200 4711 443\r\n"
    reply = Client(gateway.ports["PROXIED"]).send(head + raw)
    assert reply is not None
    assert reply.status == 200
    assert gateway.decision(reply.id)["address"] == "203.0.113.5"
    assert len(upstream.received) == 1


@pytest.mark.parametrize("head", [b"", b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01\x02\x00\x01"])
def test_without_the_proxy_protocol_the_connection_is_closed(
    gateway: RunningGateway, upstream: Upstream, head: bytes
) -> None:
    raw = request("GET", "/who", ("host", "gateway.test"), FREE)
    with gateway.watched() as decisions:
        assert Client(gateway.ports["PROXIED"]).send(head + raw) is None
    assert decisions == []
    assert upstream.received == []


def test_a_connection_serves_one_request_after_the_other(gateway: RunningGateway, upstream: Upstream) -> None:
    """Each of them is judged: the first one's good key does not open the second."""
    with gateway.client.connected() as connection:
        connection.sendall(request("GET", "/who", ("host", "gateway.test"), FREE))
        first = read_reply(connection)
        connection.sendall(request("GET", "/who", ("host", "gateway.test")))
        second = read_reply(connection)
    assert [reply.status for reply in (first, second) if reply] == [200, 401]
    assert len(upstream.received) == 1

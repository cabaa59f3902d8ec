"""Requests and answers that are edited on their way, in every mode that a route may get, on bodies of every size."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any, Final

import brotli
import pytest

from tests.e2e.clients import Reply
from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.http2 import ask
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

KIB: Final = 1024
MIB: Final = 1024 * KIB
SIZES: Final = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, 10 * MIB)
HELD: Final = 2 * MIB
BYTES: Final = ("content-type", "application/octet-stream")
SCHEMA: Final = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
POLICIES: Final = '''
import asyncio
from typing import ClassVar

from extproc import Context, Continue, Phase, Policy, Ports, Request, Response, Settings


class Nothing(Settings):
    """Nothing to set."""


class Grows(Policy):
    name: ClassVar[str] = "grows"
    Settings: ClassVar[type[Nothing]] = Nothing
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.RESPONSE_BODY, Phase.REQUEST_BODY})

    @staticmethod
    def build(settings, ports):
        return Grows()

    async def on_response(self, response: Response, request: Request, context: Context):
        return Continue(body=b"x" * (context.limit + int(request.query or 0)))

    async def on_forward(self, request: Request, context: Context):
        return Continue(body=b"x" * (context.limit + 1)) if request.headers.get("x-grow") else Continue()


class Waits(Policy):
    name: ClassVar[str] = "waits"
    Settings: ClassVar[type[Nothing]] = Nothing
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.FORWARD, Phase.RESPONSE})

    @staticmethod
    def build(settings, ports):
        return Waits()

    async def on_forward(self, request: Request, context: Context):
        if request.query == "forward":
            await asyncio.Event().wait()
        return Continue()

    async def on_response(self, response: Response, request: Request, context: Context):
        await asyncio.Event().wait()
'''
GATEWAY: Final = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: [], body_limit: 2MiB, response_limit: 2MiB}
routes:
  - name: headers
    match: {path_prefix: /headers}
    upstream: main
    body_limit: 16MiB
    policies: [{use: transform, request: {path: request.path}, response: {headers: {x-edited: '"yes"'}}}]
  - name: held
    match: {path_prefix: /held}
    upstream: main
    policies:
      - use: transform
        request: {text: [{replace: inside, with: outside}]}
        response: {headers: {x-edited: '"yes"'}, text: [{replace: inside, with: outside}]}
  - name: passing
    match: {path_prefix: /passing}
    upstream: main
    body_limit: 16MiB
    stream: true
    policies:
      - use: transform
        response:
          headers: {x-edited: '"yes"'}
          json: {set: {whole: 'true'}}
          events: {json: {set: {n: event.json.n + 1}, remove: [secret]}}
  - name: line
    match: {path_prefix: /line}
    upstream: main
    policies:
      - use: transform
        request:
          method: "'PUT'"
          path: "'/v2' + request.path"
          query: {set: {who: consumer.id}, remove: [token], rename: {q: search}}
          headers: {x-was: request.method}
          remove_headers: [x-gone]
  - name: json
    match: {path_prefix: /json}
    upstream: main
    body_limit: 64KiB
    policies:
      - use: transform
        request:
          schema: schema.json
          json: {set: {by: consumer.id}, remove: [admin], rename: {n: number}, map: {"items[].price": value * 100}}
  - name: open
    match: {path_prefix: /open}
    upstream: main
    authenticate: none
    policies: [{use: transform, request: {json: {set: {by: route.name}}}, response: {json: {set: {by: route.name}}}}]
  - {name: growing, match: {path: /growing}, upstream: main, policies: [{use: grows}]}
  - {name: waiting, match: {path: /waiting}, upstream: main, policies: [{use: waits}]}
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    running = RunningGateway(GATEWAY, [upstream])
    (running.folder / "schema.json").write_text(json.dumps(SCHEMA))
    (running.folder / "policies").mkdir()
    (running.folder / "policies" / "growing.py").write_text(POLICIES)
    with running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.clear()
    upstream.answers.clear()


def filling(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("mode", ["headers", "held", "passing"])
def test_an_answer_of_every_size_is_whole_or_refused(
    gateway: RunningGateway, upstream: Upstream, mode: str, chunked: bool, size: int
) -> None:
    body = filling(size)
    pieces = tuple((0.0, body[at : at + 100_000]) for at in range(0, size, 100_000))
    upstream.answers[f"/{mode}"] = Answer(fields=(BYTES,), body=body, chunks=pieces if chunked else ())
    reply = gateway.client.get(f"/{mode}", FREE)
    if mode == "held" and size > HELD:
        assert 500 <= reply.status < 600
        assert body[:16] not in reply.body
        return
    assert (reply.status, reply.body == body, reply.all("x-edited")) == (200, True, ["yes"])
    assert reply.all("content-length") in ([], [str(size)])
    if not chunked and mode != "passing":
        assert reply.all("content-length") == [str(size)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain"])
@pytest.mark.parametrize("mode", ["headers", "held", "passing"])
def test_a_request_of_every_size_is_whole_or_413(
    gateway: RunningGateway, upstream: Upstream, mode: str, kind: str, size: int
) -> None:
    body = filling(size)
    reply = gateway.client.ask("POST", f"/{mode}", FREE, ("content-type", kind), body=body)
    if mode == "held" and size > HELD:
        assert (reply.status, upstream.received) == (413, [])
        return
    assert reply.status == 200
    received = upstream.only()
    assert received.body == body
    assert received.all("content-length") == [str(size)]


@pytest.mark.parametrize("size", [1, 64 * KIB, MIB])
def test_a_body_that_becomes_longer_has_its_exact_length(
    gateway: RunningGateway, upstream: Upstream, size: int
) -> None:
    body, longer = filling(size) + b"inside", filling(size) + b"outside"
    text = ("content-type", "text/plain")
    upstream.answers["/held"] = Answer(fields=(text,), body=body)
    reply = gateway.client.ask("POST", "/held", FREE, text, body=body)
    assert (reply.status, reply.body == longer) == (200, True)
    assert reply.all("content-length") == [str(len(longer))]
    assert upstream.only().body == longer
    assert upstream.only().all("content-length") == [str(len(longer))]


def test_the_line_of_a_request_is_another_for_the_upstream(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.ask(
        "POST", "/line/x?q=a%20b&token=s3cret&z", FREE, ("x-gone", "1"), host="shop.example", body=b"body"
    )
    assert reply.status == 200
    received = upstream.only()
    assert (received.method, received.target) == ("PUT", "/v2/line/x?search=a%20b&z&who=free-caller")
    assert (received.body, received.header("x-was"), received.all("x-gone")) == (b"body", "POST", [])
    assert received.all("host") == ["shop.example"]
    record = gateway.decision(reply.id, "ext_proc")
    assert (record["route"], record["result"], record["consumer"]) == ("line", "allow", "free-caller")


def post(gateway: RunningGateway, path: str, document: Any, *fields: tuple[str, str]) -> Any:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return gateway.client.ask("POST", path, FREE, JSON, *fields, body=body)


def test_members_of_a_request_are_edited_and_its_length_is_right(gateway: RunningGateway, upstream: Upstream) -> None:
    sent = {"n": 1, "admin": True, "items": [{"price": 2}, {"price": 3}]}
    assert post(gateway, "/json", sent).status == 200
    received = upstream.only()
    assert json.loads(received.body) == {
        "number": 1, "items": [{"price": 200}, {"price": 300}], "by": "free-caller",
    }  # fmt: skip
    assert received.all("content-length") == [str(len(received.body))]


@pytest.mark.parametrize(("coding", "pack", "unpack"), [
    ("gzip", gzip.compress, gzip.decompress), ("br", brotli.compress, brotli.decompress),
])  # fmt: skip
def test_a_packed_body_is_edited_and_stays_packed_in_both_directions(
    gateway: RunningGateway, upstream: Upstream, coding: str, pack: Any, unpack: Any
) -> None:
    packed = ("content-encoding", coding)
    assert post(gateway, "/json", pack(b'{"n": 1}'), packed).status == 200
    received = upstream.only()
    assert json.loads(unpack(received.body)) == {"number": 1, "by": "free-caller"}
    assert received.all("content-encoding") == [coding]
    assert received.all("content-length") == [str(len(received.body))]
    upstream.answers["/open"] = Answer(fields=(JSON, packed), body=pack(b'{"a": 1}'))
    reply = gateway.client.get("/open")
    assert json.loads(unpack(reply.body)) == {"a": 1, "by": "open"}
    assert (reply.all("content-encoding"), reply.all("content-length")) == ([coding], [str(len(reply.body))])


EVIL: Final[dict[str, tuple[bytes, tuple[tuple[str, str], ...], int]]] = {
    "a name twice": (b'{"n":1,"n":2}', (), 400),
    "names that differ in case": (b'{"n":1,"Admin":true}', (), 400),
    "ten thousand deep": (b"[" * 10_000 + b"]" * 10_000, (), 400),
    "not a number": (b'{"n":NaN}', (), 400),
    "five thousand digits": (b'{"n":' + b"1" * 5_000 + b"}", (), 400),
    "no utf-8": (b'{"n":1,"a":"\xff"}', (), 400),
    "many values": (b"[" + b"1," * 30_000 + b"1]", (), 400),
    "a bomb": (gzip.compress(b" " * 20 * MIB), (("content-encoding", "gzip"),), 413),
    "a charset that is not JSON's": (b'{"n":1}', (("content-type", "application/json; charset=utf-16"),), 415),
    "what does not fit the schema": (b'{"n":"x"}', (), 400),
}


@pytest.mark.parametrize("case", EVIL)
def test_a_body_that_servers_could_read_differently_is_refused(
    gateway: RunningGateway, upstream: Upstream, case: str
) -> None:
    body, fields, status = EVIL[case]
    kind = () if any(name == "content-type" for name, _ in fields) else (JSON,)
    reply = gateway.client.ask("POST", "/json", FREE, *kind, *fields, body=body)
    assert (reply.status, upstream.received) == (status, [])
    assert reply.reason in ("malformed_body", "body_too_large", "unsupported_body", "invalid_body")
    assert gateway.decision(reply.id, "ext_proc")["reason"] == reply.reason


def test_a_route_that_asks_nobody_else_is_edited_in_both_directions(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    reply = gateway.client.ask("POST", "/open", JSON, body=b'{"a": 1}')
    assert json.loads(upstream.only().body) == {"a": 1, "by": "open"}
    assert reply.json() == {"upstream": "main", "by": "open"}


def test_a_refusal_comes_before_any_edit_and_is_not_edited(gateway: RunningGateway, upstream: Upstream) -> None:
    for path in ("/json", "/line", "/held", "/passing"):
        reply = gateway.client.ask("POST", path, JSON, body=b"{}")
        assert (reply.status, reply.reason) == (401, "no_credentials")
        assert reply.all("x-edited") == []
    assert upstream.received == []


def test_every_event_is_edited(gateway: RunningGateway, upstream: Upstream) -> None:
    events = [b'id: %d\ndata: {"n":%d,"secret":"x"}\n\n' % (n, n) for n in range(10_000)]
    whole = b"".join(events)
    pieces = tuple((0.0, whole[at : at + 7777]) for at in range(0, len(whole), 7777))
    upstream.answers["/passing/events"] = Answer(fields=(("content-type", "text/event-stream"),), chunks=pieces)
    reply = gateway.client.get("/passing/events", FREE)
    assert reply.status == 200
    assert reply.body == b"".join(b'id: %d\ndata: {"n":%d}\n\n' % (n, n + 1) for n in range(10_000))


def test_an_answer_that_is_no_stream_is_edited_whole_on_the_same_route(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    upstream.answers["/passing/json"] = Answer(body=json.dumps({"filling": "x" * 200_000}).encode())
    reply = gateway.client.get("/passing/json", FREE)
    assert reply.json() == {"filling": "x" * 200_000, "whole": True}


@pytest.mark.parametrize("path", ["/headers", "/held", "/passing", "/open"])
def test_an_answer_without_a_body_passes_in_every_mode(gateway: RunningGateway, upstream: Upstream, path: str) -> None:
    upstream.answers[path] = Answer(204, fields=())
    assert gateway.client.get(path, FREE).status == 204
    upstream.answers[path] = Answer(body=b'{"a":1}')
    reply = gateway.client.ask("HEAD", path, FREE)
    assert (reply.status, reply.body) == (200, b"")


def test_a_body_that_grows_to_the_limit_passes_and_beyond_it_is_refused_by_name(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    reply = gateway.client.get("/growing", FREE)
    assert (reply.status, len(reply.body), reply.all("content-length")) == (200, HELD, [str(HELD)])
    reply = gateway.client.get("/growing?1", FREE)
    assert (reply.status, reply.reason) == (500, "body_too_large")
    assert f"Envoy holds {HELD}" in failure_of(gateway, reply)["detail"]
    upstream.clear()
    reply = gateway.client.ask("POST", "/growing", FREE, ("x-grow", "1"), body=b"body")
    assert (reply.status, reply.reason, upstream.received) == (500, "body_too_large", [])


@pytest.mark.parametrize(("path", "arrived"), [("/waiting?forward", 0), ("/waiting", 1)])
def test_a_policy_that_does_not_answer_is_cancelled_and_its_message_is_not_let_through(
    gateway: RunningGateway, upstream: Upstream, path: str, arrived: int
) -> None:
    upstream.answers["/waiting"] = Answer(body=b'{"secret": 1}')
    reply = gateway.client.get(path, FREE)
    assert reply.status in (503, 504)
    assert b"secret" not in reply.body
    assert len(upstream.received) == arrived
    assert failure_of(gateway, reply)["detail"] == "the call was cancelled"


def failure_of(gateway: RunningGateway, reply: Reply) -> dict[str, Any]:
    """A request that is edited in both directions leaves a decision of each: the one that was none."""

    def failed() -> dict[str, Any] | None:
        ours = [one for one in gateway.decisions() if one.get("request_id") == reply.id]
        return next((one for one in ours if (one["service"], one["result"]) == ("ext_proc", "error")), None)

    return eventually(failed, "a record of what failed")


def test_a_body_with_trailers_behind_it_is_edited_like_one_without(gateway: RunningGateway, upstream: Upstream) -> None:
    """Only HTTP/2 clients send them; the body is whole before they come."""
    trailers = (("x-behind", "1"),)
    for path in (":path", "/json"), (":path", "/line"), (":path", "/passing"):
        upstream.clear()
        reply = ask(gateway.client.port, path, FREE, JSON, body=b'{"n": 1}', trailers=trailers, method="POST")
        assert reply is not None
        assert reply.status == 200, path
        received = upstream.only()
        edited = path[1] == "/json"
        assert json.loads(received.body) == ({"number": 1, "by": "free-caller"} if edited else {"n": 1})


def test_a_request_of_trailers_alone_has_no_body_to_validate(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = ask(gateway.client.port, (":path", "/json"), FREE, JSON, trailers=(("x-behind", "1"),), method="POST")
    assert reply is not None
    assert reply.status == 400
    assert upstream.received == []

"""Requests and answers that are edited on their way, in every mode that a route may get, on bodies of every size."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any, Final

import brotli
import pytest

from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

KIB: Final = 1024
MIB: Final = 1024 * KIB
SIZES: Final = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, 10 * MIB)
HELD: Final = 2 * MIB
BYTES: Final = ("content-type", "application/octet-stream")
SCHEMA: Final = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
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

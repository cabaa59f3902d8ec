"""Whoever refuses, the client is told in one form, with a reason, and nothing of what is behind the gateway."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Final

import pytest

from tests.e2e.clients import Field, Reply, chunked, request
from tests.e2e.credentials import FREE, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway, SeparateGateway
from tests.e2e.http2 import ask
from tests.e2e.upstreams import Answer, Upstream, refusing_port, started

pytestmark = pytest.mark.e2e

POLICIES: Final = '''
from extproc import CONTINUE, Call, Phase, Policy, Settings


class AsksSettings(Settings):
    url: str


class Asks(Policy):
    """Needs somebody's word, whatever it is."""

    name = "asks"
    Settings = AsksSettings
    phases = frozenset({Phase.REQUEST})

    def __init__(self, settings, ports):
        self._url, self._fetch = settings.url, ports.fetch

    @staticmethod
    def build(settings, ports):
        return Asks(settings, ports)

    async def on_request(self, request, context):
        await self._fetch.send(Call(self._url))
        return CONTINUE
'''
GATEWAY: Final = (
    HEAD
    + """
upstreams:
  main: {endpoints: ["${MAIN}"]}
  refusing: {endpoints: ["127.0.0.1:${REFUSING}"]}
  babbling: {endpoints: ["127.0.0.1:${BABBLING}"]}
tiers: {free: {rate: 1000/s}}
defaults: {authenticate: partners, limits: [], timeout: 500ms, body_limit: 100}
routes:
  - {name: app, match: {path_prefix: /app}, upstream: main}
  - {name: open, match: {path_prefix: /open}, upstream: main, authenticate: none}
  - {name: tokens, match: {path: /tokens}, upstream: main, authenticate: company}
  - {name: either, match: {path: /either}, upstream: main, authenticate: [company, partners]}
  - {name: premium, match: {path: /premium}, upstream: main, authorize: 'consumer.tier == "premium"'}
  - {name: broken, match: {path: /broken}, upstream: main, authorize: 'request.headers["absent"] == "x"'}
  - {name: tiered, match: {path: /tiered}, upstream: main, limits: [{per: consumer, rate: 1/day}]}
  - {name: few, match: {path: /few}, upstream: main, authenticate: none, limits: [{per: route, rate: 1/day}]}
  - {name: unserved, match: {path: /unserved}, upstream: refusing, authenticate: none}
  - {name: babble, match: {path: /babble}, upstream: babbling, authenticate: none}
  - name: provider
    match: {path: /provider}
    upstream: main
    policies: [{use: asks, url: "http://127.0.0.1:${REFUSING}/who"}]
  - name: edited
    match: {path: /edited}
    upstream: main
    authenticate: none
    policies: [{use: transform, response: {headers: {x-a: 'response.headers["absent"]'}}}]
  - """
    + FENCE
)
SIDECAR: Final = "ext_authz"
# All that an answer of the gateway's own may say.
FIELDS: Final = {
    "content-type", "content-length", "date", "connection", "cache-control", "x-request-id", "www-authenticate",
    "retry-after", "ratelimit", "ratelimit-policy",
}  # fmt: skip
MEMBERS: Final = {"type", "title", "status", "reason", "detail", "limit", "remaining", "reset", "retry_after"}


@dataclass(frozen=True, slots=True)
class Case:
    """`by` is the service of the sidecar that records it; empty where Envoy refuses by itself. `grpc` is the status for
    a gRPC client."""

    path: str
    status: int
    reason: str
    by: str = SIDECAR
    fields: tuple[Field, ...] = ()
    grpc: int = 0


REFUSALS: Final = {
    "no credential": Case("/app", 401, "no_credentials", grpc=16),
    "an unknown key": Case("/app", 401, "unknown_api_key", fields=(("x-api-key", "xpk_nonsense"),), grpc=16),
    "two keys": Case("/app", 401, "several_credentials", fields=(FREE, FREE), grpc=16),
    "a key and a token": Case("/either", 401, "several_credentials", fields=(FREE, bearer()), grpc=16),
    "an expired token": Case("/tokens", 401, "expired", fields=(bearer(exp=1_000_000),), grpc=16),
    "a token for another": Case("/tokens", 401, "wrong_audience", fields=(bearer(aud="other"),), grpc=16),
    "no token": Case("/tokens", 401, "not_a_bearer_token", fields=(("authorization", "Basic eA=="),), grpc=16),
    "not authorized": Case("/premium", 403, "not_authorized", fields=(FREE,), grpc=7),
    "an expression that fails": Case("/broken", 500, "expression_failed", fields=(FREE,), grpc=2),
    "a provider that is not there": Case("/provider", 503, "provider_unavailable", fields=(FREE,), grpc=14),
    "a limit of the fused call": Case("/tiered", 429, "rate_limited", fields=(FREE,), grpc=14),
    "a limit of Envoy's": Case("/few", 429, "rate_limited", "ratelimit", grpc=14),
    "an answer that cannot be edited": Case("/edited", 500, "expression_failed", "ext_proc"),
    "no route": Case("/nowhere", 404, "no_route", "", grpc=12),
    "an odd path": Case("/app/%2e%2e;/x", 400, "bad_request", "", grpc=13),
    "an unserved upstream": Case("/unserved", 503, "unavailable", "", grpc=14),
    "an upstream that babbles": Case("/babble", 502, "bad_upstream", "", grpc=14),
    "a slow upstream": Case("/open/slow", 504, "upstream_timeout", "", grpc=14),
    "a fragment": Case("/app#x", 400, "bad_request", "", (FREE,), grpc=13),
    "an underscore": Case("/app", 400, "bad_request", "", (("a_b", "c"),)),
    "large headers": Case("/app", 431, "headers_too_large", "", (("x", "x" * 70_000),)),
}
BY_THE_SIDECAR: Final = [name for name, case in REFUSALS.items() if case.by]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        only.answers["/open/slow"] = Answer(delay=1)
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with ExitStack() as stack:
        made = RunningGateway(GATEWAY, [upstream])
        made.environment["REFUSING"] = str(stack.enter_context(refusing_port()))
        made.environment["BABBLING"] = str(babbling(stack))
        (made.folder / "policies").mkdir()
        (made.folder / "policies" / "asks.py").write_text(POLICIES)
        with made as running:
            for path in ("/tiered", "/few"):
                assert running.client.get(path, FREE).status == 200  # the only one of today
            upstream.clear()
            yield running


def babbling(stack: ExitStack) -> int:
    """The port of an upstream that speaks something else."""
    listening = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))

    def babble() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(b"220 mail.internal.example ready\r\n")

    threading.Thread(target=babble, daemon=True).start()
    stack.callback(listening.shutdown, socket.SHUT_RDWR)
    return int(listening.getsockname()[1])


def assert_tells_no_more(reply: Reply, status: int, reason: str) -> None:
    assert (reply.status, reply.reason) == (status, reason)
    assert_fields_tell_no_more(reply)
    assert set(reply.json()) <= MEMBERS
    assert reply.json()["type"] == "about:blank"
    text = reply.body.decode().lower()
    assert [
        word for word in ("envoy", "127.0.0.1", "upstream connect", "grpc", "python", "babbl") if word in text
    ] == []


def assert_fields_tell_no_more(reply: Reply) -> None:
    names = [name.lower() for name, _ in reply.fields]
    assert set(names) <= FIELDS
    assert len(names) == len(set(names))
    assert reply.header("cache-control") == "no-store"
    assert (reply.header("www-authenticate") is not None) == (reply.status == 401)
    assert (reply.header("retry-after") is not None) == (reply.status == 429)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_problem_json_with_a_reason_and_no_more(gateway: RunningGateway, name: str) -> None:
    case = REFUSALS[name]
    assert_tells_no_more(gateway.client.get(case.path, *case.fields), case.status, case.reason)


@pytest.mark.parametrize("name", BY_THE_SIDECAR)
def test_what_the_sidecar_refuses_it_records(gateway: RunningGateway, name: str) -> None:
    case = REFUSALS[name]
    decision = gateway.decision(gateway.client.get(case.path, *case.fields).id, case.by)
    assert (decision["status"], decision["reason"]) == (case.status, case.reason)
    assert decision["result"] == ("error" if case.status >= 500 else "deny")


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_head_says_the_same_without_a_body(gateway: RunningGateway, name: str) -> None:
    case = REFUSALS[name]
    reply = gateway.client.ask("HEAD", case.path, *case.fields)
    assert (reply.status, reply.header("content-type"), reply.body) == (case.status, "application/problem+json", b"")
    assert_fields_tell_no_more(reply)


@pytest.mark.parametrize("name", [name for name, case in REFUSALS.items() if case.grpc])
def test_a_grpc_client_gets_a_status_of_its_own_and_the_reason(gateway: RunningGateway, name: str) -> None:
    case = REFUSALS[name]
    grpc = (("content-type", "application/grpc"), ("te", "trailers"))
    reply = ask(gateway.client.port, (":path", case.path), *grpc, *case.fields, method="POST")
    assert reply is not None
    assert (reply.status, reply.header("grpc-status"), reply.body) == (200, str(case.grpc), b"")
    assert f'"reason":"{case.reason}"' in (reply.header("grpc-message") or "")
    assert {name.lower() for name, _ in reply.fields} <= FIELDS | {"grpc-status", "grpc-message"}
    assert reply.header("cache-control") == "no-store"


UNREAD: Final = {
    "HTTP/1.0": (b"GET /app HTTP/1.0\r\n\r\n", 426, "upgrade_required"),
    "another framing": (request("POST", "/app", ("host", "a"), ("transfer-encoding", "x")), 501, "not_implemented"),
    "no HTTP": (b"EHLO there\r\n\r\n", 400, "bad_request"),
    "a tunnel": (b"CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n", 403, "closed"),
    "a body over the limit": (
        request("POST", "/app", ("host", "a"), ("content-length", "101"), FREE) + b"x" * 101, 413, "body_too_large",
    ),
    "chunks over the limit": (
        request("POST", "/app", ("host", "a"), ("transfer-encoding", "chunked"), FREE) + chunked(b"x" * 60, b"x" * 60),
        413, "body_too_large",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNREAD)
def test_what_cannot_be_read_is_answered_alike(gateway: RunningGateway, upstream: Upstream, name: str) -> None:
    upstream.clear()
    raw, status, reason = UNREAD[name]
    reply = gateway.client.send(raw)
    assert reply is not None
    assert_tells_no_more(reply, status, reason)
    assert upstream.received == []


@pytest.mark.parametrize(
    ("path", "challenge"),
    [
        ("/app", 'ApiKey header="x-api-key"'),
        ("/tokens", "Bearer"),
        ("/either", 'Bearer, ApiKey header="x-api-key"'),
    ],
)
def test_a_401_says_how_to_authenticate(gateway: RunningGateway, path: str, challenge: str) -> None:
    assert gateway.client.get(path).all("www-authenticate") == [challenge]


IMPATIENT: Final = {'request_headers_timeout: "10s"': "0.2s", 'request_timeout: "60s"': "0.5s"}
LATE: Final = {
    "headers": b"GET /app HTTP/1.1\r\nhost: gateway.test\r\n",
    "a body": request("POST", "/app", ("host", "gateway.test"), ("content-length", "5"), FREE) + b"hel",
}


def test_without_a_sidecar_or_a_whole_request_the_answer_is_alike(upstream: Upstream) -> None:
    """An Envoy alone, and one that waits less long than ours do."""
    with SeparateGateway(FEW, [upstream]) as gateway:
        gateway.start_envoy({old: old.partition(":")[0] + f': "{new}"' for old, new in IMPATIENT.items()})
        gateway.wait_for_sidecar(healthy=False)
        for path in ("/app", "/few"):
            assert_tells_no_more(gateway.client.get(path, FREE), 503, "unavailable")
        for raw in LATE.values():
            reply = gateway.client.send(raw)
            assert reply is not None
            assert_tells_no_more(reply, 408, "request_timeout")


FEW: Final = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: app, match: {path: /app}, upstream: main}
  - {name: few, match: {path: /few}, upstream: main, authenticate: none, limits: [{per: route, rate: 1/day}]}
"""
)

"""What HTTP/2 lets a client say otherwise than HTTP/1.1: nothing of it reaches the sidecar or an upstream."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, bearer
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.http2 import ask
from tests.e2e.upstreams import Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams: {only: {endpoints: ["${ONLY}"]}}
defaults: {authenticate: [company, partners], limits: []}
routes:
  - {name: app, match: {path_prefix: /app}, upstream: only}
  - """
    + FENCE
    + """
  - {name: rest, match: {path_prefix: /}, upstream: only, authenticate: none}
"""
)


@pytest.fixture(scope="module")
def only() -> Iterator[Upstream]:
    with started("only") as (found,):
        yield found


@pytest.fixture(scope="module")
def gateway(only: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, [only]) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(only: Upstream) -> None:
    only.clear()


def test_a_good_request_is_served_as_any_other(gateway: RunningGateway, only: Upstream) -> None:
    refused, allowed = ask(gateway.client.port), ask(gateway.client.port, FREE)
    assert refused is not None
    assert allowed is not None
    assert (refused.reason, allowed.status) == ("no_credentials", 200)
    assert only.only().all("x-consumer-id") == ["free-caller"]


MALFORMED: dict[str, tuple[Field, ...]] = {
    "two paths": ((":path", "/app"), (":path", "/other")),
    "two paths, other order": ((":path", "/other"), (":path", "/app")),
    "two authorities": ((":authority", "gateway.test"), (":authority", "other.test")),
    "two methods": ((":method", "GET"), (":method", "POST")),
    "two hosts": (("host", "gateway.test"), ("host", "other.test"), (":authority", "")),
    "no authority": ((":authority", ""),),
    "a pseudo-header behind a field": (("x-a", "1"), (":path", "/other")),
    "a pseudo-header that nobody knows": ((":anything", "1"),),
    "an answer's pseudo-header": ((":status", "200"),),
    "no path": ((":path", ""),),
    "a path without a slash": ((":path", "other"),),
    "a path that is a URL": ((":path", "http://gateway.test/other"),),
    "a path with another request line": ((":path", "/other HTTP/1.1\r\nx: y"),),
    "a path with a space": ((":path", "/other x"),),
    "a path with a NUL": ((":path", "/other\x00"),),
    "an authority with a path": ((":authority", "gateway.test/x"),),
    "an authority with a user": ((":authority", "user@gateway.test"),),
    "an authority with a space": ((":authority", "gateway.test "),),
    "an authority with a line break": ((":authority", "gateway.test\r\nx: y"),),
    "a method with another request": ((":method", "GET /other HTTP/1.1\r\nhost: x\r\n\r\nGET"),),
    "a method with a space": ((":method", "GET "),),
    "no method": ((":method", ""),),
    "a scheme that is none": ((":scheme", "ftp\xff"),),
    "an extended CONNECT": ((":method", "CONNECT"), (":protocol", "websocket")),
    "a name in upper case": (("X-Api-Key", FREE[1]),),
    "a name with an underscore": (("x_api_key", FREE[1]),),
    "a name with a space": (("x a", "1"),),
    "a name with a colon": (("x:a", "1"),),
    "a name with a line break": (("x\r\na", "1"),),
    "a value with a line break": (("x-a", "1\r\nx-consumer-id: forged"),),
    "a value with a NUL": (("x-a", "1\x00"),),
    "a connection header": (("connection", "x-api-key"),),
    "a framing": (("transfer-encoding", "chunked"),),
    "a body that is longer than it says": ((":method", "POST"), ("content-length", "3")),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_gets_no_answer_and_reaches_nobody(
    gateway: RunningGateway, only: Upstream, name: str
) -> None:
    body = b"hello" if ("content-length", "3") in MALFORMED[name] else b""
    with gateway.watched() as decisions:
        assert ask(gateway.client.port, *MALFORMED[name], FREE, body=body) is None
    assert decisions == []
    assert only.received == []


@pytest.mark.parametrize("credential", [FREE, bearer()])
def test_repeated_credentials_are_several(gateway: RunningGateway, only: Upstream, credential: Field) -> None:
    reply = ask(gateway.client.port, credential, credential)
    assert reply is not None
    assert reply.status == 401
    assert only.received == []


def test_fields_behind_the_body_are_no_headers(gateway: RunningGateway, only: Upstream) -> None:
    """Neither a credential nor an identity that comes as a trailer counts."""
    forged = (("x-consumer-id", "forged"), ("x-extproc-cluster", "upstream.other"))
    refused = ask(gateway.client.port, body=b"x", trailers=(FREE,), method="POST")
    allowed = ask(gateway.client.port, FREE, body=b"x", trailers=forged, method="POST")
    assert refused is not None
    assert allowed is not None
    assert (refused.reason, allowed.status) == ("no_credentials", 200)
    received = only.only()
    assert received.body == b"x"
    assert (received.all("x-consumer-id"), received.all("x-extproc-cluster")) == (["free-caller"], [])


def test_a_connect_opens_no_tunnel(gateway: RunningGateway, only: Upstream) -> None:
    with gateway.watched() as decisions:
        reply = ask(gateway.client.port, (":method", "CONNECT"), (":authority", "gateway.test:443"))
    assert reply is None or reply.status >= 400
    assert decisions == []
    assert only.received == []


@pytest.mark.parametrize("path", ["/app/\xe9\xff", "/app?\xe9\xff"])
def test_bytes_that_are_no_text_are_judged_and_recorded(gateway: RunningGateway, only: Upstream, path: str) -> None:
    with gateway.watched() as decisions:
        reply = ask(gateway.client.port, (":path", path), FREE)
    assert reply is not None
    assert reply.status == 200
    assert [one["path"] for one in decisions] == [only.only().target.partition("?")[0]]

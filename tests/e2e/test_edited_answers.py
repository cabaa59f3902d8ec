"""ext_proc: answers that the sidecar edits on their way back, and what happens where it cannot."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest

from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

KIB = 1024
EDITS = """policies: [{use: transform, response: {headers: {x-edited: '"yes"'}, json: {set: {by: 'route.name'}}}}]"""
GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: edited, match: {path_prefix: /edited}, upstream: main, EDITS}
  - {name: open-edited, match: {path_prefix: /open}, upstream: main, authenticate: none, EDITS}
  - name: adorned
    match: {path_prefix: /adorned}
    upstream: main
    policies: [{use: transform, response: {headers: {x-route: 'route.name + " " + consumer.id'}}}]
  - name: failing
    match: {path_prefix: /failing}
    upstream: main
    policies: [{use: transform, response: {json: {set: {by: 'response.headers["absent"]'}}}}]
  - {name: plain, match: {path_prefix: /plain}, upstream: main}
  - """.replace("EDITS", EDITS)
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, [upstream]) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.clear()


def document(size: int) -> bytes:
    return json.dumps({"filling": "x" * size, "ä": "ö"}, ensure_ascii=False).encode()


@pytest.mark.parametrize("path", ["/edited/x", "/open/x"])
def test_an_edited_answer_has_its_exact_length(gateway: RunningGateway, upstream: Upstream, path: str) -> None:
    upstream.answers[path] = Answer(body=document(10))
    reply = gateway.client.get(path, FREE)
    assert reply.status == 200
    name = "edited" if path == "/edited/x" else "open-edited"
    assert reply.json() == {"filling": "x" * 10, "ä": "ö", "by": name}
    assert reply.all("content-length") == [str(len(reply.body))]
    assert reply.all("x-edited") == ["yes"]


@pytest.mark.parametrize("path", ["/edited/status", "/open/status"])
@pytest.mark.parametrize("status", [200, 201, 400, 404, 500, 503])
def test_an_upstreams_own_json_is_edited_whatever_its_status(
    gateway: RunningGateway, upstream: Upstream, path: str, status: int
) -> None:
    upstream.answers[path] = Answer(status, body=b'{"own": "words"}')
    reply = gateway.client.get(path, FREE)
    assert reply.status == status
    assert reply.json()["own"] == "words"
    assert "by" in reply.json()


def test_an_answer_is_edited_although_its_client_accepts_gzip(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.get("/edited/x", FREE, ("accept-encoding", "gzip, br"))
    assert upstream.only().all("accept-encoding") == []
    assert reply.json()["by"] == "edited"
    gateway.client.get("/plain", FREE, ("accept-encoding", "gzip, br"))
    assert upstream.received[-1].all("accept-encoding") == ["gzip, br"]


def test_an_answer_that_is_compressed_all_the_same_is_edited_and_stays_so(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    body = gzip.compress(b'{"a": 1}')
    upstream.answers["/edited/gzip"] = Answer(fields=(JSON, ("content-encoding", "gzip")), body=body)
    reply = gateway.client.get("/edited/gzip", FREE)
    assert json.loads(gzip.decompress(reply.body)) == {"a": 1, "by": "edited"}
    assert (reply.all("content-encoding"), reply.all("content-length")) == (["gzip"], [str(len(reply.body))])


@pytest.mark.parametrize(
    ("media_type", "body"),
    [("text/html", b"<p>"), ("application/json", b"[1]"), ("application/json", b"{broken"), ("application/json", b"")],
)
def test_what_is_no_json_object_passes_untouched(
    gateway: RunningGateway, upstream: Upstream, media_type: str, body: bytes
) -> None:
    upstream.answers["/edited/other"] = Answer(fields=(("content-type", media_type),), body=body)
    reply = gateway.client.get("/edited/other", FREE)
    assert (reply.status, reply.body) == (200, body)


@pytest.mark.parametrize("path", ["/edited/large", "/open/large"])
def test_a_large_answer_is_edited_whole(gateway: RunningGateway, upstream: Upstream, path: str) -> None:
    upstream.answers[path] = Answer(body=document(600 * KIB))
    reply = gateway.client.get(path, FREE)
    assert reply.status == 200
    assert len(reply.json()["filling"]) == 600 * KIB
    assert "by" in reply.json()


def test_a_chunked_answer_is_edited_whole(gateway: RunningGateway, upstream: Upstream) -> None:
    body = document(200 * KIB)
    upstream.answers["/edited/chunked"] = Answer(
        chunks=((0, body[:1000]), (0.1, body[1000:90_000]), (0.1, body[90_000:]))
    )
    reply = gateway.client.get("/edited/chunked", FREE)
    assert len(reply.json()["filling"]) == 200 * KIB
    assert reply.json()["by"] == "edited"


def test_an_answer_that_grows_beyond_what_envoy_buffers_is_whole_or_refused(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    upstream.answers["/edited/edge"] = Answer(body=document(1024 * KIB - 45))
    reply = gateway.client.get("/edited/edge", FREE)
    assert reply.status in (200, 500, 503)
    if reply.status == 200:
        assert reply.json()["by"] == "edited"
    assert gateway.client.get("/edited/x", FREE).status == 200


def test_an_answer_over_the_limit_is_refused_and_the_sidecar_lives_on(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    upstream.answers["/edited/huge"] = Answer(body=document(5000 * KIB))
    for _ in range(3):
        reply = gateway.client.get("/edited/huge", FREE)
        assert 500 <= reply.status < 600
        assert reply.reason
        assert b"xxxx" not in reply.body
    assert gateway.client.get("/edited/x", FREE).json()["by"] == "edited"


def test_an_edit_that_fails_withholds_the_answer(gateway: RunningGateway, upstream: Upstream) -> None:
    upstream.answers["/failing"] = Answer(body=b'{"secret": 1}')
    reply = gateway.client.get("/failing", FREE)
    assert (reply.status, reply.reason) == (500, "expression_failed")
    assert b"secret" not in reply.body
    assert gateway.decision(reply.id, "ext_proc")["result"] == "error"


@pytest.mark.parametrize("path", ["/edited/none", "/open/none", "/adorned/none"])
def test_an_answer_without_a_body_passes(gateway: RunningGateway, upstream: Upstream, path: str) -> None:
    upstream.answers[path] = Answer(204, fields=())
    reply = gateway.client.get(path, FREE)
    assert (reply.status, reply.body) == (204, b"")


@pytest.mark.parametrize("path", ["/edited/head", "/open/head", "/adorned/head"])
def test_a_head_request_passes(gateway: RunningGateway, upstream: Upstream, path: str) -> None:
    upstream.answers[path] = Answer(body=document(10))
    reply = gateway.client.ask("HEAD", path, FREE)
    assert (reply.status, reply.body) == (200, b"")
    assert upstream.only().method == "HEAD"


def test_a_policy_of_headers_alone_leaves_the_body_alone(gateway: RunningGateway, upstream: Upstream) -> None:
    body = b"\x00\xff" * 800 * KIB
    upstream.answers["/adorned/x"] = Answer(fields=(("content-type", "application/octet-stream"),), body=body)
    reply = gateway.client.get("/adorned/x", FREE)
    assert (reply.status, reply.body == body, reply.all("x-route")) == (200, True, ["adorned free-caller"])


def test_a_refusal_of_the_gateways_own_is_not_edited(gateway: RunningGateway, upstream: Upstream) -> None:
    reply = gateway.client.get("/edited/x")
    assert (reply.status, reply.reason) == (401, "no_credentials")
    assert "by" not in reply.json()
    assert reply.all("x-edited") == []
    assert upstream.received == []


def test_an_edit_is_recorded_with_the_requests_id(gateway: RunningGateway) -> None:
    reply = gateway.client.get("/edited/x?token=secret", FREE)
    record = gateway.decision(reply.id, "ext_proc")
    assert (record["route"], record["result"], record["consumer"]) == ("edited", "allow", "free-caller")
    assert (record["method"], record["path"], record["address"]) == ("GET", "/edited/x", "127.0.0.1")

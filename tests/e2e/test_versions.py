"""Versions of an API through the real Envoy: what answers say, when versions are gone, how bodies are adapted."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from extproc.app.clock import SystemClock
from tests.e2e.credentials import FREE
from tests.e2e.harness import FENCE, HEAD, RunningGateway, fetch
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e


DAY = 86_400


def day(after: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(SystemClock().now() + after * DAY))


GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
defaults: {authenticate: partners, limits: []}
versions:
  v0: {status: deprecated, deprecated: 2020-01-01, sunset: 2021-01-01, successor: v2}
  v1:
    status: deprecated
    deprecated: 2020-01-01
    sunset: 2999-01-01
    successor: v2
    documentation: "https://shop.example/v1%20ends"
  switched-off: {status: deprecated, deprecated: 2020-01-01, brown_outs: [{start: YESTERDAY, end: TOMORROW}]}
  v2: {status: current}
  old: {status: deprecated, deprecated: 2024-01-01}
  v00: {status: deprecated, deprecated: 2019-01-01}
routes:
  - name: v1-open
    match: {path_prefix: /v1/open}
    upstream: main
    authenticate: none
    version: {is: old}
  - {name: v0, match: {path_prefix: /v0/users}, upstream: main, version: {is: v0}}
  - name: v1
    match: {path_prefix: /v1/users}
    upstream: main
    version:
      is: v1
      adapt_to: v2
      response:
        - rename: {name: full_name}
        - convert:
            created: unix_seconds_to_rfc3339
            state: {active: enabled, closed: disabled}
        - default: {locale: en}
        - drop: {fax: none}
        - wrap: {.: data}
  - name: v00
    match: {path_prefix: /v00/users}
    upstream: main
    version: {is: v00, adapt_to: v1, then: v1, response: [{rename: {title: name}}]}
  - name: written
    match: {path_prefix: /written}
    upstream: main
    version:
      is: v1
      adapt_to: v2
      body: [{rename: {name: full_name}}, {convert: {state: {active: enabled}}}]
  - name: streamed
    match: {path_prefix: /streamed}
    upstream: main
    stream: true
    version: {is: v1, adapt_to: v2, response: [{rename: {name: full_name}}]}
  - {name: v2, match: {path_prefix: /v2/users}, upstream: main, version: {is: v2}}
  - {name: off, match: {path_prefix: /off}, upstream: main, version: {is: switched-off}}
  - {name: by-header, match: {path: /users, headers: {x-api-version: "1"}}, upstream: main, version: {is: old}}
  - {name: by-query, match: {path: /users, query: {version: "1"}}, upstream: main, version: {is: old}}
  - name: by-type
    match: {path: /users, media_type: application/vnd.shop.v1+json}
    upstream: main
    version: {is: old}
  - name: by-parameter
    match: {path: /users, media_type: application/json;version=1}
    upstream: main
    version: {is: old}
  - {name: newest, match: {path: /users}, upstream: main, version: {is: v2}}
  - """.replace("YESTERDAY", day(-1)).replace("TOMORROW", day(2))
    + FENCE
)
V2 = {"data": {"full_name": "Zoë", "created": "2025-01-01T00:00:00Z", "state": "enabled", "locale": "de"}}


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


def answering(upstream: Upstream, path: str, document: object, status: int = 200) -> None:
    upstream.answers[path] = Answer(status, (JSON,), json.dumps(document, ensure_ascii=False).encode())


def test_answers_of_a_deprecated_version_say_so_without_a_call(gateway: RunningGateway, upstream: Upstream) -> None:
    with gateway.watched() as seen:
        answer = gateway.client.get("/v1/open")
    assert (answer.status, seen) == (200, [])
    assert answer.header("deprecation") == "@1704067200"
    assert answer.header("sunset") is None


def test_an_answer_says_since_when_until_when_and_where_to_go(gateway: RunningGateway, upstream: Upstream) -> None:
    answering(upstream, "/v1/users", V2)
    answer = gateway.client.get("/v1/users", FREE)
    assert answer.header("deprecation") == "@1577836800"
    assert answer.header("sunset") == "Tue, 01 Jan 2999 00:00:00 GMT"
    assert answer.header("link") == (
        '<https://shop.example/v1%20ends>; rel="deprecation", </v2/users>; rel="successor-version"'
    )


def test_the_upstream_cannot_say_otherwise_and_its_own_links_stay(gateway: RunningGateway, upstream: Upstream) -> None:
    fields = (JSON, ("Deprecation", "true"), ("Sunset", "never"), ("Link", '</a>; rel="next"'))
    upstream.answers["/v1/users"] = Answer(200, fields, json.dumps(V2).encode())
    answer = gateway.client.get("/v1/users", FREE)
    assert answer.all("deprecation") == ["@1577836800"]
    assert answer.all("sunset") == ["Tue, 01 Jan 2999 00:00:00 GMT"]
    assert '</a>; rel="next"' in ", ".join(answer.all("link"))
    assert '</v2/users>; rel="successor-version"' in ", ".join(answer.all("link"))


def test_what_is_gone_is_410_and_names_its_successor(gateway: RunningGateway, upstream: Upstream) -> None:
    answer = gateway.client.get("/v0/users", FREE)
    assert (answer.status, answer.json()["reason"], answer.json()["successor"]) == (410, "version_sunset", "v2")
    assert answer.json()["successor_at"] == "/v2/users"
    assert answer.header("content-type") == "application/problem+json"
    assert answer.all("sunset") == ["Fri, 01 Jan 2021 00:00:00 GMT"]
    assert answer.all("link") == ['</v2/users>; rel="successor-version"']
    assert upstream.received == []


def test_who_still_calls_what_is_gone_is_in_the_record_and_the_version_in_the_metric(gateway: RunningGateway) -> None:
    record = gateway.decision(gateway.client.get("/v0/users", FREE).id)
    assert record["consumer"]
    assert record["facts"] == {"api_version": "v0", "api_status": "deprecated"}
    assert (record["policy"], record["reason"]) == ("version", "version_sunset")
    scraped = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/metrics")
    assert 'extproc_api_version_requests_total{route="v0",version="v0"}' in scraped
    assert record["consumer"] not in scraped


def test_nobody_learns_what_is_gone_without_a_credential(gateway: RunningGateway) -> None:
    assert gateway.client.get("/v0/users").status == 401


def test_a_brown_out_is_410_for_its_time(gateway: RunningGateway, upstream: Upstream) -> None:
    answer = gateway.client.get("/off", FREE)
    assert (answer.status, answer.json()["reason"]) == (410, "version_brown_out")
    assert answer.header("cache-control") == "no-store"
    assert upstream.received == []


def test_an_answer_is_taken_back_to_the_version_that_was_asked_for(gateway: RunningGateway, upstream: Upstream) -> None:
    answering(upstream, "/v1/users", V2)
    answer = gateway.client.get("/v1/users", FREE)
    assert answer.json() == {"name": "Zoë", "created": 1735689600, "state": "active", "fax": "none"}
    assert int(answer.header("content-length") or "") == len(answer.body)
    assert gateway.client.get("/v2/users", FREE).status == 200


def test_an_answer_without_a_body_tells_no_length_that_another_would_have(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    answering(upstream, "/v1/users", V2)
    answer = gateway.client.ask("HEAD", "/v1/users", FREE)
    assert (answer.status, answer.header("content-length")) == (200, None)
    answering(upstream, "/v2/users", V2)
    spoken = gateway.client.ask("HEAD", "/v2/users", FREE)  # passes as it is
    assert (spoken.status, int(spoken.header("content-length") or "")) == (
        200,
        len(json.dumps(V2, ensure_ascii=False).encode()),
    )


def test_versions_further_back_go_through_each_one_between(gateway: RunningGateway, upstream: Upstream) -> None:
    answering(upstream, "/v00/users", V2)
    assert gateway.client.get("/v00/users", FREE).json()["title"] == "Zoë"


def test_an_error_of_the_upstream_passes_as_it_is(gateway: RunningGateway, upstream: Upstream) -> None:
    answering(upstream, "/v1/users", {"error": "no such user"}, 404)
    answer = gateway.client.get("/v1/users", FREE)
    assert (answer.status, answer.json()) == (404, {"error": "no such user"})
    assert answer.header("deprecation") == "@1577836800"


@pytest.mark.parametrize("document", [{"full_name": "x"}, {"data": {"state": "unheard of"}}, ["x"]])
def test_an_answer_that_is_no_document_of_the_version_is_502(
    gateway: RunningGateway, upstream: Upstream, document: object
) -> None:
    answering(upstream, "/v1/users", document)
    answer = gateway.client.get("/v1/users", FREE)
    assert (answer.status, answer.json()["reason"]) == (502, "answer_not_adaptable")
    assert b"unheard" not in answer.body
    record = gateway.decision(answer.id, "ext_proc")
    assert record["facts"]["not_adaptable"].startswith("at ")


@pytest.mark.parametrize(
    ("target", "headers", "version"),
    [
        ("/users", [], "v2"),
        ("/users", [("x-api-version", "1")], "old"),
        ("/users?version=1", [], "old"),
        ("/users", [("accept", "application/vnd.shop.v1+json")], "old"),
        ("/users", [("accept", "text/html, application/VND.shop.v1+json;q=0.5")], "old"),
        ("/users", [("accept", 'application/json; charset=utf-8; version="1"')], "old"),
        ("/users", [("accept", "application/vnd.shop.v1+json;q=0")], "v2"),
        ("/users", [("accept", "application/vnd.shop.v11+json")], "v2"),
        ("/users", [("accept", "application/json")], "v2"),
        ("/users", [("accept", "*/*")], "v2"),
    ],
)
def test_a_version_is_chosen_by_header_query_and_media_type(
    gateway: RunningGateway, target: str, headers: list[tuple[str, str]], version: str
) -> None:
    answer = gateway.client.get(target, FREE, *headers)
    assert gateway.decision(answer.id)["facts"]["api_version"] == version
    assert (answer.header("deprecation") is not None) is (version == "old")


def test_caches_are_told_that_a_media_type_decided(gateway: RunningGateway) -> None:
    chosen = gateway.client.get("/users", FREE, ("accept", "application/vnd.shop.v1+json"))
    assert chosen.header("vary") == "accept"


def test_a_request_is_made_one_of_the_version_that_the_upstream_speaks(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    answering(upstream, "/written", {"full_name": "Zoë", "state": "enabled"})
    sent = json.dumps({"name": "Zoë", "state": "active"}).encode()
    answer = gateway.client.ask("POST", "/written", FREE, JSON, body=sent)
    received = upstream.only()
    assert json.loads(received.body) == {"full_name": "Zoë", "state": "enabled"}
    assert received.header("content-length") == str(len(received.body))
    assert answer.json() == {"name": "Zoë", "state": "active"}


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [(b'{"state":"unheard"}', JSON[1], 422), (b"{", JSON[1], 422), (b'{"name":"x"}', "text/plain", 415)],
)
def test_a_request_that_is_no_document_of_its_version_reaches_nobody(
    gateway: RunningGateway, upstream: Upstream, body: bytes, media_type: str, status: int
) -> None:
    answer = gateway.client.ask("POST", "/written", FREE, ("content-type", media_type), body=body)
    assert (answer.status, upstream.received) == (status, [])


def test_events_of_a_stream_are_adapted_one_by_one(gateway: RunningGateway, upstream: Upstream) -> None:
    events = [b'data: {"full_name":"%d"}\n\n' % number for number in range(3)]
    cut = [b"".join(events)[:30], b"".join(events)[30:], b"data: [DONE]\n\n"]
    upstream.answers["/streamed"] = Answer(
        200, (("content-type", "text/event-stream"),), chunks=tuple((0, c) for c in cut)
    )
    answer = gateway.client.get("/streamed", FREE)
    assert answer.body == b"".join(b'data: {"name":"%d"}\n\n' % number for number in range(3)) + b"data: [DONE]\n\n"

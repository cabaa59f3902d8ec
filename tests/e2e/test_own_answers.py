"""What the gateway itself says: every refusal is problem+json with a reason, and one id names the exchange anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.clients import Reply
from tests.e2e.credentials import FREE, PREMIUM
from tests.e2e.harness import FENCE, HEAD, RunningGateway, eventually
from tests.e2e.upstreams import JSON, Answer, Upstream, refusing_port, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams:
  main: {endpoints: ["${MAIN}"]}
  refusing: {endpoints: ["127.0.0.1:${REFUSING}"]}
tiers: {free: {rate: 3/hour}, premium: {rate: 1000/s}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: app, match: {path_prefix: /app}, upstream: main}
  - {name: open, match: {path_prefix: /open}, upstream: main, authenticate: none}
  - {name: counted, match: {path: /counted}, upstream: main, limits: [tier]}
  - {name: few, match: {path: /few}, upstream: main, authenticate: none, limits: [{per: route, rate: 1/hour}]}
  - {name: broken, match: {path: /broken}, upstream: main, authorize: 'request.headers["absent"] == "x"'}
  - {name: unserved, match: {path: /unserved}, upstream: refusing, authenticate: none}
  - {name: moved, match: {path: /moved}, redirect: {to: /app}, authenticate: none}
  - name: edited
    match: {path: /edited}
    upstream: main
    policies: [{use: transform, response: {json: {set: {edited: 'true'}}}}]
  - """
    + FENCE
)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with started("main") as (only,):
        only.answers["/app/leak"] = only.answers["/open/leak"] = only.answers["/edited"] = Answer(
            fields=(
                JSON,
                ("x-extproc-secret", "1"),
                ("X-Extproc-Cluster", "upstream.main"),
                ("x-consumer-id", "1"),
                ("x-envoy-upstream-service-time", "1"),
                ("x-envoy-anything", "1"),
                ("server", "nginx/1.2.3"),
                ("x-kept", "yes"),
            )
        )
        only.answers["/open/own-404"] = Answer(404, (("content-type", "text/plain"),), b"the upstream's own words")
        yield only


@pytest.fixture(scope="module")
def gateway(upstream: Upstream) -> Iterator[RunningGateway]:
    with refusing_port() as port:
        made = RunningGateway(GATEWAY, [upstream])
        made.environment["REFUSING"] = str(port)
        with made as running:
            yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstream: Upstream) -> None:
    upstream.clear()


def test_a_used_up_tier_is_problem_json_that_says_when_to_come_back(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    replies = [gateway.client.get("/counted", FREE) for _ in range(5)]
    assert [reply.status for reply in replies] == [200, 200, 200, 429, 429]
    assert len(upstream.received) == 3
    assert replies[3].reason == "rate_limited"
    # The time until one more passes, and up to a minute more: not everybody is to come back at once.
    assert 0 < int(replies[3].header("retry-after") or 0) <= 1260
    assert [reply.header("ratelimit-policy") for reply in replies] == ['"tier";q=3;w=3600'] * 5
    assert (replies[0].header("ratelimit") or "").startswith('"tier";r=2;t=')
    assert gateway.client.get("/counted", PREMIUM).status == 200


def test_a_limit_that_envoy_asks_about_answers_alike(gateway: RunningGateway, upstream: Upstream) -> None:
    admitted, refused = gateway.client.get("/few"), gateway.client.get("/few")
    assert (admitted.status, refused.status, refused.reason) == (200, 429, "rate_limited")
    assert len(upstream.received) == 1
    assert int(refused.header("retry-after") or 0) > 0
    assert [reply.header("ratelimit-policy") for reply in (admitted, refused)] == ['"route-0";q=1;w=3600'] * 2
    assert gateway.decision(refused.id, "ratelimit")["result"] == "deny"


def test_what_an_upstream_answers_itself_is_left_alone(gateway: RunningGateway) -> None:
    reply = gateway.client.get("/open/own-404")
    assert (reply.status, reply.header("content-type"), reply.body) == (404, "text/plain", b"the upstream's own words")


@pytest.mark.parametrize("path", ["/app/leak", "/open/leak", "/edited", "/app", "/moved", "/nowhere", "/unserved"])
def test_no_internal_header_leaves_whoever_wrote_it(gateway: RunningGateway, path: str) -> None:
    reply = gateway.client.get(path, FREE)
    assert_nothing_internal(reply)
    assert reply.all("x-kept") == (["yes"] if "leak" in path or path == "/edited" else [])


def assert_nothing_internal(reply: Reply) -> None:
    internal = ("x-extproc-", "x-consumer-", "x-envoy-", "server", "via")
    assert [name for name, _ in reply.fields if name.lower().startswith(internal)] == []


def test_one_request_id_names_the_exchange_in_the_answer_the_record_and_the_access_log(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    replies = {
        "allowed": gateway.client.get("/app?token=secret", FREE),
        "no_credentials": gateway.client.get("/app"),
        "expression_failed": gateway.client.get("/broken", FREE),
        "": gateway.client.get("/nowhere"),
    }
    assert upstream.only().all("x-request-id") == [replies["allowed"].id]

    def logged() -> dict[str, dict[str, object]] | None:
        lines = {str(line.get("request_id")): line for line in gateway.access_log()}
        return lines if {reply.id for reply in replies.values()} <= lines.keys() else None

    lines = eventually(logged, "Envoy has written its access log", 30)
    for reason, reply in replies.items():
        line = lines[reply.id]
        assert (line["status"], line.get("reason", "")) == (reply.status, reason)
        if reason:
            decision = gateway.decision(reply.id)
            assert (decision["reason"], decision["route"]) == (reason, line["route"])
            assert decision.get("consumer") == line.get("consumer")
    assert lines[replies["allowed"].id]["path"] == "/app"
    assert lines[replies["allowed"].id]["upstream"] == "upstream.main"


def test_what_could_not_be_decided_is_recorded_as_an_error_with_its_id(
    gateway: RunningGateway, upstream: Upstream
) -> None:
    reply = gateway.client.get("/broken", FREE)
    decision = gateway.decision(reply.id)
    assert (decision["result"], decision["status"], decision["route"]) == ("error", 500, "broken")
    assert "absent" in decision["detail"]
    assert b"absent" not in reply.body
    assert upstream.received == []

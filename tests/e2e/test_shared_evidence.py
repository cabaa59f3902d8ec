"""Evidence of two gateways in one Redis: added up over both, at a fraction of a second's loss, and of no consequence to
any answer when Redis is stuck."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.clients import Field, Reply
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, SeparateGateway, eventually, fetch
from tests.e2e.upstreams import Answer, Upstream, started
from tests.redis_groups import RedisNode, folder

pytestmark = pytest.mark.e2e

TOKEN = "the admin token"
NONE = {"requests": 0, "errors": 0, "scores": 0}
VARYING = ("x-request-id", "date", "x-envoy-upstream-service-time")
GATEWAY = (
    HEAD.replace("stores: {", 'stores: {counters: "redis://127.0.0.1:${REDIS_PORT}", ')
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
models:
  chat: {versions: {only: {upstream: main, weight: 100}}, score: {feedback: true}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: chat, match: {path_prefix: /chat}, model: chat}
  - {name: feedback, match: {path: /feedback}, feedback: true}
"""
)


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisNode]:
    node = RedisNode(folder()).start()
    yield node
    node.stop()


@pytest.fixture(scope="module")
def gateways(redis: RedisNode) -> Iterator[list[SeparateGateway]]:
    with ExitStack() as stack:
        (upstream,) = stack.enter_context(started("main"))
        upstream.answers["/chat/fails"] = Answer(status=500)
        yield [stack.enter_context(running(upstream, redis)) for _ in range(2)]


def running(upstream: Upstream, redis: RedisNode) -> SeparateGateway:
    gateway = SeparateGateway(GATEWAY, [upstream])
    gateway.environment.update({"EXTPROC_ADMIN_TOKEN": TOKEN, "REDIS_PORT": str(redis.port)})
    gateway.sidecar = gateway.start_sidecar()
    gateway.start_envoy()
    gateway.wait_for_sidecar()
    return gateway


def only(gateway: SeparateGateway) -> dict[str, Any]:
    text = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/evidence?model=chat&window=900", TOKEN)
    found: dict[str, Any] = json.loads(text)["versions"].get("only", NONE) if text else NONE
    return found


def until(gateway: SeparateGateway, requests: int) -> dict[str, Any]:
    def enough() -> dict[str, Any] | None:
        found = only(gateway)
        return found if found["requests"] >= requests else None

    return eventually(enough, f"evidence of {requests} requests")


def test_each_gateway_reads_what_both_saw_and_feedback_reaches_either(gateways: list[SeparateGateway]) -> None:
    one, other = gateways
    before = only(one)
    asked = [one.client.get("/chat", FREE) for _ in range(3)]
    for _ in range(2):
        other.client.get("/chat/fails", FREE)
    for reader in gateways:
        found = until(reader, before["requests"] + 5)
        assert found["requests"] == before["requests"] + 5
        assert found["errors"] == before["errors"] + 2
    body = json.dumps({"request_id": asked[0].id, "score": 0.5}).encode()
    for _ in range(2):  # the other one did not see that request
        assert other.client.ask("POST", "/feedback", FREE, body=body).status == 202
        assert one.client.ask("POST", "/feedback", FREE, body=body).status == 202
    eventually(lambda: only(one)["scores"], "the score is counted")
    assert (only(other)["scores"], only(other)["mean_score"]) == (1, 0.5)


def test_what_a_sidecar_has_heard_outlives_it(gateways: list[SeparateGateway]) -> None:
    one, other = gateways
    before = only(one)["requests"]
    for _ in range(4):
        one.client.get("/chat", FREE)
    until(other, before + 4)
    one.sidecar.kill()
    one.sidecar.wait(10)
    one.wait_for_sidecar(healthy=False)
    assert one.client.get("/chat", FREE).status == 503
    one.sidecar = one.start_sidecar()
    one.wait_for_sidecar()
    assert until(one, before + 4)["requests"] == before + 4
    one.client.get("/chat", FREE)
    assert until(one, before + 5)["requests"] == before + 5


def told(answer: Reply) -> tuple[int, bytes, list[Field]]:
    """An answer without what differs between any two."""
    return answer.status, answer.body, sorted(field for field in answer.fields if field[0].lower() not in VARYING)


def test_a_stuck_redis_changes_no_answer_and_loses_no_evidence(
    gateways: list[SeparateGateway], redis: RedisNode
) -> None:
    one, _ = gateways
    before = only(one)["requests"]
    plain = one.client.get("/chat", FREE)
    until(one, before + 1)
    answers: list[Reply] = []

    def unsaved() -> bool:
        answers.append(one.client.get("/chat", FREE))
        return any(event["event"] == "evidence_cannot_be_saved" for event in one.events())

    redis.pause()
    try:
        eventually(unsaved, "a save has failed")
        answers += [one.client.get("/chat", FREE) for _ in range(20)]
    finally:
        redis.go_on()
    assert [told(answer) for answer in answers if told(answer) != told(plain)] == []
    expected = before + 1 + len(answers)
    assert until(one, expected)["requests"] == expected

"""Feedback through the real Envoy and over the admin address: one's own requests, each once, and no guess counts."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator

import pytest

from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, PREMIUM
from tests.e2e.harness import HEAD, SeparateGateway, eventually, fetch
from tests.e2e.upstreams import Answer, started

pytestmark = pytest.mark.e2e

TOKEN = "the admin token"
GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
models:
  chat: {versions: {only: {upstream: main, weight: 100}}, score: {feedback: true}}
  mute: {versions: {only: {upstream: main, weight: 100}}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: chat, match: {path_prefix: /chat}, model: chat}
  - {name: mute, match: {path: /mute}, model: mute}
  - {name: feedback, match: {path: /feedback, methods: [POST]}, feedback: true, body_limit: 4KiB}
"""
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[SeparateGateway]:
    with started("main") as upstreams, SeparateGateway(GATEWAY, upstreams) as running:
        upstreams[0].answers["/chat/fails"] = Answer(status=500)
        running.environment["EXTPROC_ADMIN_TOKEN"] = TOKEN
        running.start_sidecar()
        running.start_envoy()
        running.wait_for_sidecar()
        yield running


def say(gateway: SeparateGateway, who: Field, request_id: str, score: object) -> int:
    body = json.dumps({"request_id": request_id, "score": score}).encode()
    return gateway.client.ask("POST", "/feedback", who, body=body).status


def admin(gateway: SeparateGateway, path: str) -> str:
    return f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}{path}"


def post(url: str, body: bytes, token: str) -> int:
    asked = urllib.request.Request(url, body, {"authorization": f"Bearer {token}"})  # noqa: S310 - an address of our own
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def scores(gateway: SeparateGateway) -> tuple[int, float | None]:
    versions = json.loads(fetch(admin(gateway, "/evidence?model=chat&window=900"), TOKEN))["versions"]
    found = versions.get("only", {"scores": 0, "mean_score": None})
    return found["scores"], found["mean_score"]


def results(gateway: SeparateGateway) -> dict[str, int]:
    lines = [line for line in fetch(admin(gateway, "/metrics")).splitlines() if line.startswith("extproc_feedback")]
    return {line.split('"')[1]: int(float(line.split()[1])) for line in lines}


def test_a_consumer_scores_its_own_requests_and_nobody_elses(gateway: SeparateGateway) -> None:
    mine = [gateway.client.get("/chat", FREE).id for _ in range(2)]
    failed, refused = gateway.client.get("/chat/fails", FREE).id, gateway.client.get("/chat").id
    muted = gateway.client.get("/mute", FREE).id
    assert say(gateway, FREE, mine[0], 0.25) == 202
    assert say(gateway, FREE, mine[0], 1) == 202
    assert [say(gateway, PREMIUM, request_id, 1) for request_id in mine] == [202, 202]
    assert [say(gateway, FREE, request_id, 1) for request_id in (str(uuid.uuid4()), refused, muted)] == [202] * 3
    assert say(gateway, FREE, failed, 0) == 202
    eventually(lambda: results(gateway).get("unknown", 0) >= 5, "what is of no request of one's own is given up")
    assert results(gateway) == {"counted": 2, "unknown": 5}
    assert scores(gateway) == (2, 0.125)


def test_what_is_no_feedback_is_refused_and_nobody_without_a_credential_says_anything(gateway: SeparateGateway) -> None:
    mine = gateway.client.get("/chat", FREE).id
    before = scores(gateway)
    assert [say(gateway, FREE, mine, score) for score in (2, -1, "1", None, True)] == [400] * 5
    assert gateway.client.ask("POST", "/feedback", FREE, body=b'{"request_id": "a", "score": NaN}').status == 400
    forged = ("x-consumer-id", "free-caller")
    assert gateway.client.ask("POST", "/feedback", forged, body=b"{}").status == 401
    assert gateway.client.ask("POST", "/feedback", FREE, body=b"x" * 5_000).status == 413
    assert gateway.client.get("/feedback", FREE).status == 404
    assert scores(gateway) == before


def test_the_bearer_of_the_admin_token_scores_anybodys_request(gateway: SeparateGateway) -> None:
    count, _ = scores(gateway)
    theirs = gateway.client.get("/chat", PREMIUM).id
    body = json.dumps({"request_id": theirs, "score": 1.0}).encode()
    assert post(admin(gateway, "/feedback"), body, "another") == 401
    assert post(admin(gateway, "/feedback"), body, TOKEN) == 202
    eventually(lambda: scores(gateway)[0] == count + 1, "the score is counted")


def test_a_consumer_that_floods_is_held_to_its_part(gateway: SeparateGateway) -> None:
    statuses = [say(gateway, FREE, str(uuid.uuid4()), 0) for _ in range(130)]
    assert set(statuses) == {202, 429}
    assert say(gateway, PREMIUM, gateway.client.get("/chat", PREMIUM).id, 1) == 202

"""What versions of a model did, as the real Envoy told of it: exactly what was sent, and nothing that was not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, SeparateGateway, eventually, fetch
from tests.e2e.upstreams import Answer, Upstream, refusing_port, started

pytestmark = pytest.mark.e2e

TOKEN = "the admin token"
GATEWAY = (
    HEAD
    + """
upstreams:
  good: {endpoints: ["${GOOD}"]}
  bad: {endpoints: ["${BAD}"]}
  gone: {endpoints: ["${GONE}"]}
tiers: {free: {tokens: 1000000/hour, reserve: '1', settle: x-tokens-used}}
models:
  chat: {sticky: "header:x-subject", versions: {v1: {upstream: good, weight: 50}, v2: {upstream: bad, weight: 50}},
         score: {header: x-score}}
  lost: {versions: {only: {upstream: gone, weight: 100}}}
defaults: {authenticate: partners, limits: [tier], timeout: 2s}
routes:
  - {name: chat, match: {path_prefix: /chat}, model: chat}
  - {name: lost, match: {path: /lost}, model: lost}
  - {name: closed, match: {path: /closed}, model: chat, authorize: {consumers: [nobody]}}
  - {name: plain, match: {path: /plain}, upstream: good}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[list[Upstream]]:
    with started("good", "bad") as found:
        for upstream in found:
            upstream.answers["/chat/counted"] = Answer(fields=(("x-tokens-used", "12"), ("x-score", "0.25")))
            upstream.answers["/chat/hostile"] = Answer(
                fields=(
                    ("x-tokens-used", "9" * 400), ("x-score", "NaN"), ("x-model-version", "v1"),
                    ("x-model-fallback", "v1"),
                )
            )  # fmt: skip
            upstream.answers["/chat/slow"] = Answer(delay=0.5)
            upstream.answers["/chat/hangs"] = Answer(delay=30)
            upstream.answers["/chat/busy"] = Answer(status=429)
            upstream.answers["/chat/missing"] = Answer(status=404)
            upstream.answers["/chat/fails"] = Answer(status=500)
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: list[Upstream]) -> Iterator[SeparateGateway]:
    with refusing_port() as gone, SeparateGateway(GATEWAY, upstreams) as running:
        running.environment["EXTPROC_ADMIN_TOKEN"] = TOKEN
        running.environment["GONE"] = f"127.0.0.1:{gone}"
        running.start_sidecar()
        running.start_envoy()
        running.wait_for_sidecar()
        yield running


def evidence(gateway: SeparateGateway, model: str = "chat") -> dict[str, dict[str, Any]]:
    text = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/evidence?model={model}&window=900", TOKEN)
    versions: dict[str, dict[str, Any]] = json.loads(text)["versions"]
    return versions


def told(gateway: SeparateGateway, requests: int, model: str = "chat") -> dict[str, dict[str, Any]]:
    """As soon as so many requests have been told of, which is some seconds later."""

    def enough() -> dict[str, dict[str, Any]] | None:
        found = evidence(gateway, model)
        return found if sum(one["requests"] for one in found.values()) >= requests else None

    return eventually(enough, f"evidence of {requests} requests")


def subject_of(gateway: SeparateGateway, version: str) -> str:
    """One that has this version; asking for it counts nowhere in the test that follows, for it asks another path."""
    for number in range(100):
        answer = gateway.client.get("/chat/subject", FREE, ("x-subject", f"s{number}"))
        if answer.header("x-model-version") == version:
            return f"s{number}"
    raise AssertionError(f"nobody has {version}")


def test_evidence_is_exactly_what_was_sent(gateway: SeparateGateway, upstreams: list[Upstream]) -> None:
    good, bad = upstreams
    one, two = subject_of(gateway, "v1"), subject_of(gateway, "v2")
    asked = [
        (one, "/chat/counted", 3), (two, "/chat/counted", 1), (two, "/chat/fails", 2), (two, "/chat/missing", 1),
        (two, "/chat/busy", 1), (two, "/chat/hostile", 1), (one, "/chat/slow", 1), (two, "/chat/hangs", 1),
    ]  # fmt: skip
    for subject, path, times in asked:
        for _ in range(times):
            gateway.client.get(path, FREE, ("x-subject", subject))
    for path in ("/closed", "/plain", "/nowhere"):
        gateway.client.get(path, FREE, ("x-subject", two))
    gateway.client.get("/chat/counted")  # without a credential
    found = told(gateway, len(good.received) + len(bad.received) - 1)
    assert found["v1"]["requests"] == len(good.received) - 1  # without the plain one
    assert found["v2"]["requests"] == len(bad.received)
    assert (found["v1"]["errors"], found["v2"]["errors"]) == (0, 2 + 1 + 1)
    assert (found["v1"]["tokens"], found["v2"]["tokens"]) == (36, 12)
    assert (found["v1"]["scores"], found["v1"]["mean_score"]) == (3, 0.25)
    assert (found["v2"]["scores"], found["v2"]["mean_score"]) == (1, 0.25)
    assert 0.45 < found["v1"]["p99"] < 2
    assert 1.8 < found["v2"]["p99"] < 2.4


def test_an_upstream_that_is_not_there_is_an_error_without_a_latency(gateway: SeparateGateway) -> None:
    assert gateway.client.get("/lost", FREE).status == 503
    found = told(gateway, 1, "lost")["only"]
    assert (found["requests"], found["errors"], found["p95"]) == (1, 1, None)

"""Copies of requests go to a shadow: it is told that they are copies, and nothing of it is ever seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from tests.e2e.credentials import FREE, FREE_KEY, PREMIUM
from tests.e2e.harness import HEAD, RunningGateway, eventually
from tests.e2e.upstreams import Answer, Received, Upstream, started

pytestmark = pytest.mark.e2e

SLOW: Final = 60.0  # seconds: longer than anybody waits, and cut short when the upstream is closed
FENCE: Final = "/all?fence"
GATEWAY: Final = (
    HEAD
    + """
tiers: {free: {rate: 1000000/s}, premium: {rate: 1000000/s}}
upstreams:
  one: {endpoints: ["${ONE}"]}
  two: {endpoints: ["${TWO}"]}
models:
  all:
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}
    pin: {tiers: [premium]}
    shadow: {version: v2, percent: 100}
  half:
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}
    shadow: {version: v2, percent: 50}
  spare:
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}
    shadow: {version: v2, percent: 100}
    fallback: {to: v2}
  none:
    versions: {v1: {upstream: one, weight: 100}}
defaults: {authenticate: [company, partners]}
routes:
  - {name: all, match: {path: /all}, model: all}
  - {name: half, match: {path: /half}, model: half}
  - {name: spare, match: {path: /spare}, model: spare}
  - {name: guarded, match: {path: /guarded}, model: all, authorize: {tiers: [premium]}}
  - {name: named, match: {path: /named}, model: {from: "header:x-model", of: [all, none]}}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Sequence[Upstream]]:
    with started("one", "two") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: Sequence[Upstream]) -> Iterator[RunningGateway]:
    with RunningGateway(GATEWAY, upstreams) as running:
        yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: Sequence[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()
        upstream.answers.clear()


def copies(gateway: RunningGateway, upstream: Upstream, number: int) -> list[Received]:
    """So many of them, and none behind: the copy of a later request is there, and theirs would have been."""
    eventually(lambda: len(upstream.received) >= number, f"{number} copies")
    gateway.client.get(FENCE, FREE)
    eventually(lambda: FENCE in [one.target for one in upstream.received], "the copy of a later request")
    return [one for one in upstream.received if one.target != FENCE]


def test_a_copy_is_the_same_request_and_says_that_it_is_one(
    gateway: RunningGateway, upstreams: Sequence[Upstream]
) -> None:
    one, two = upstreams
    body = b"x" * 300_000
    answer = gateway.client.ask("POST", "/all?q=1", FREE, ("x-extproc-shadow", "forged"), body=body)
    assert (answer.json(), answer.header("x-model-version")) == ({"upstream": "one"}, "v1")
    (copy,) = copies(gateway, two, 1)
    first = one.received[0]
    assert (
        (copy.method, copy.target, copy.body) == (first.method, first.target, first.body) == ("POST", "/all?q=1", body)
    )
    assert (copy.header("host"), copy.header("x-consumer-id")) == (first.header("host"), "free-caller")
    assert (first.all("x-extproc-shadow"), copy.all("x-extproc-shadow")) == ([], ["true"])
    assert FREE_KEY not in str(copy.fields)
    assert gateway.decision(answer.id)["facts"]["shadow"] == "v2"


@pytest.mark.parametrize(
    "failing",
    [Answer(500), Answer(200, (("x-model-version", "v2"), ("set-cookie", "a=b")), b"shadow"), Answer(delay=SLOW)],
)
def test_a_shadows_answer_and_its_failure_are_nobodys(
    gateway: RunningGateway, upstreams: Sequence[Upstream], failing: Answer
) -> None:
    upstreams[1].answers["/all"] = failing
    for _ in range(3):
        answer = gateway.client.get("/all", FREE)
        assert (answer.status, answer.json()) == (200, {"upstream": "one"})
        assert (answer.all("x-model-version"), answer.header("set-cookie")) == (["v1"], None)
    eventually(lambda: len(upstreams[1].received) >= 3, "three copies")


def test_who_is_answered_by_the_shadow_itself_is_not_copied(
    gateway: RunningGateway, upstreams: Sequence[Upstream]
) -> None:
    answer = gateway.client.get("/all", PREMIUM, ("x-model-version", "v2"))
    assert answer.json() == {"upstream": "two"}
    (only,) = copies(gateway, upstreams[1], 1)
    assert only.all("x-extproc-shadow") == []


def test_what_is_refused_is_not_copied(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    assert gateway.client.get("/guarded", FREE).status == 403
    assert gateway.client.get("/all").status == 401
    assert copies(gateway, upstreams[1], 0) == []


def test_a_percentage_of_requests_is_copied(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    answers = [gateway.client.get("/half", FREE) for _ in range(60)]
    said = ["shadow" in gateway.decision(answer.id)["facts"] for answer in answers]
    assert 10 < sum(said) < 50
    assert len(copies(gateway, upstreams[1], sum(said))) == sum(said)


def test_a_shadow_and_a_fallback_go_together(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    upstreams[0].answers["/spare"] = Answer(503)
    answer = gateway.client.get("/spare", FREE)
    assert (answer.json(), answer.header("x-model-fallback")) == ({"upstream": "two"}, "v1")
    marks = [received.all("x-extproc-shadow") for received in copies(gateway, upstreams[1], 2)]
    assert sorted(marks) == [[], ["true"]]


def test_of_several_models_the_one_that_was_named_is_copied(
    gateway: RunningGateway, upstreams: Sequence[Upstream]
) -> None:
    assert gateway.client.get("/named", FREE, ("x-model", "none")).status == 200
    assert copies(gateway, upstreams[1], 0) == []
    upstreams[1].clear()
    assert gateway.client.get("/named", FREE, ("x-model", "all")).status == 200
    assert len(copies(gateway, upstreams[1], 1)) == 1

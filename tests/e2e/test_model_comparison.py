"""A shadow that is compared, through the real Envoy: who asks gets its answer at once, and the rest is in the log."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest

from tests.e2e.credentials import FREE, FREE_KEY
from tests.e2e.harness import HEAD, RunningGateway, eventually, fetch
from tests.e2e.upstreams import JSON, Answer, Upstream, started

pytestmark = pytest.mark.e2e

SLOW: Final = 90.0  # seconds: cut short by the test
SECRET: Final = "what-a-model-says-is-nobodys"
GATEWAY: Final = (
    HEAD
    + """
upstreams:
  one: {endpoints: ["${ONE}"]}
  two: {endpoints: ["${TWO}"]}
models:
  score:
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}
    shadow:
      version: v2
      percent: 100
      compare: {fields: {label: response.json.label, sure: response.json.score > 0.5}, timeout: 2m}
defaults: {authenticate: [company, partners]}
routes:
  - {name: score, match: {path: /score}, model: score}
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


def scored(label: str, score: float, **more: Any) -> Answer:
    return Answer(fields=(JSON,), body=json.dumps({"label": label, "score": score, "said": SECRET}).encode(), **more)


def compared(gateway: RunningGateway, request_id: str) -> dict[str, Any]:
    def told() -> dict[str, Any] | None:
        found = [event for event in gateway.events() if event.get("event") == "shadow_compared"]
        return next((event for event in found if event["request_id"] == request_id), None)

    return eventually(told, "a line about the comparison")


def test_two_answers_are_compared_and_one_is_given(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    one, two = upstreams
    one.answers["/score"], two.answers["/score"] = scored("cat", 0.9), scored("dog", 0.8)
    answer = gateway.client.ask("POST", "/score?q=1", FREE, body=b'{"x": 1}')
    assert (answer.json()["label"], answer.header("x-model-version")) == ("cat", "v1")
    told = compared(gateway, answer.id)
    assert told["fields"] == {"label": "differ", "sure": "agree"}
    assert (told["chosen"]["version"], told["shadow"]["version"]) == ("v1", "v2")
    assert (told["chosen"]["status"], told["shadow"]["status"]) == (200, 200)
    assert told["shadow"]["duration_us"] > 0
    first, again = sorted(one.received, key=lambda received: received.all("x-extproc-shadow"))  # in whichever order
    copy = two.only()
    assert (first.all("x-extproc-shadow"), again.all("x-extproc-shadow")) == ([], ["true"])
    assert copy.all("x-extproc-shadow") == ["true"]
    for asked in (again, copy):
        assert (asked.method, asked.target, asked.body) == ("POST", "/score?q=1", b'{"x": 1}')
        assert (asked.header("host"), asked.header("x-consumer-id")) == (first.header("host"), "free-caller")
        assert FREE_KEY not in str(asked.fields)
    assert SECRET not in (gateway.work / "decisions.jsonl").read_text()


def test_nobody_waits_for_a_comparison(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    one, two = upstreams
    one.answers["/score"], two.answers["/score"] = scored("cat", 0.9), scored("cat", 0.9, delay=SLOW)
    answer = gateway.client.get("/score", FREE)
    assert answer.json()["label"] == "cat"
    eventually(lambda: two.received, "the shadow is asked")
    assert [event for event in gateway.events() if event.get("request_id") == answer.id and "fields" in event] == []
    two.closing.set()  # the answer that nobody waits for
    assert compared(gateway, answer.id)["fields"] == {"label": "agree", "sure": "agree"}
    two.closing = threading.Event()


def test_comparisons_are_counted(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    one, two = upstreams
    one.answers["/score"], two.answers["/score"] = scored("cat", 0.9), Answer(200, body=b"{}")
    compared(gateway, gateway.client.get("/score", FREE).id)
    metrics = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/metrics")
    counted = 'extproc_shadow_comparisons_total{field="label",model="score",result="differ",version="v2"}'
    assert f"{counted} " in metrics
    assert 'extproc_shadow_duration_seconds_count{model="score",version="v2"}' in metrics

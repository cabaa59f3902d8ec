"""Another version answers where the one that was chosen does not: on each cause, within its budget, and it says so."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.e2e.clients import Reply
from tests.e2e.credentials import FREE
from tests.e2e.harness import HEAD, RunningGateway, eventually
from tests.e2e.upstreams import Answer, Upstream, refusing_port, started

pytestmark = pytest.mark.e2e

SLOW: Final = 60.0  # seconds: longer than anybody waits, and cut short when the upstream is closed
GATEWAY: Final = (
    HEAD
    + """
upstreams:
  one: {endpoints: ["${ONE}"]}
  two: {endpoints: ["${TWO}"]}
  three: {endpoints: ["${THREE}"]}
  nobody: {endpoints: ["${NOBODY}"]}
  ejected: {endpoints: ["${ONE}"], outlier_detection: true}
models:
  scored:
    versions:
      v1: {upstream: one, weight: 100}
      v2: {upstream: two, weight: 0}
      v3: {upstream: one, weight: 0}
    fallback: {to: v2, timeout: 500ms}
  patient:
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}, v3: {upstream: three, weight: 0}}
    fallback: {to: [v2, v3], tries: 2}
  gone:
    versions: {v1: {upstream: nobody, weight: 100}, v2: {upstream: two, weight: 0}}
    fallback: {to: v2}
  ejecting:
    versions: {v1: {upstream: ejected, weight: 100}, v2: {upstream: two, weight: 0}}
    fallback: {to: v2}
  bounded:
    versions: {v1: {upstream: one, weight: 100}, v2: {upstream: two, weight: 0}}
    fallback: {to: v2, budget: 1}
  alone:
    versions: {v1: {upstream: one, weight: 100}}
defaults: {authenticate: [company, partners], timeout: 3s}
routes:
  - {name: scored, match: {path: /scored}, model: scored, body_limit: 1MiB}
  - {name: patient, match: {path: /patient}, model: patient}
  - {name: gone, match: {path: /gone}, model: gone}
  - {name: ejecting, match: {path: /ejecting}, model: ejecting}
  - {name: bounded, match: {path: /bounded}, model: bounded, timeout: 30s}
  - {name: streamed, match: {path: /streamed}, model: scored, stream: true}
  - {name: named, match: {path: /named}, model: {from: "header:x-model", of: [scored, alone]}}
"""
)


@pytest.fixture(scope="module")
def upstreams() -> Iterator[Sequence[Upstream]]:
    with started("one", "two", "three") as found:
        yield found


@pytest.fixture(scope="module")
def gateway(upstreams: Sequence[Upstream]) -> Iterator[RunningGateway]:
    with refusing_port() as port:
        made = RunningGateway(GATEWAY, upstreams)
        made.environment["NOBODY"] = f"127.0.0.1:{port}"
        with made as running:
            yield running


@pytest.fixture(autouse=True)
def _nothing_received(upstreams: Sequence[Upstream]) -> None:
    for upstream in upstreams:
        upstream.clear()
        upstream.answers.clear()


def told(answer: Reply) -> tuple[int, str | None, str | None]:
    return answer.status, answer.header("x-model-version"), answer.header("x-model-fallback")


def test_who_was_chosen_answers_where_it_can(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    assert told(gateway.client.get("/scored", FREE)) == (200, "v1", None)
    assert [len(upstream.received) for upstream in upstreams] == [1, 0, 0]


FAILURES: Final = {
    "500": Answer(500),
    "503": Answer(503),
    "429": Answer(429),
    "timeout": Answer(delay=SLOW),
}


@pytest.mark.parametrize("cause", FAILURES)
def test_another_version_answers_for_each_cause(
    gateway: RunningGateway, upstreams: Sequence[Upstream], cause: str
) -> None:
    one, two, _ = upstreams
    one.answers["/scored"] = FAILURES[cause]
    answer = gateway.client.ask("POST", "/scored", FREE, body=b"x" * 300_000)
    assert told(answer) == (200, "v2", "v1")
    assert answer.json() == {"upstream": "two"}
    assert two.only().body == one.only().body == b"x" * 300_000
    decided = gateway.decision(answer.id)["facts"]
    assert decided["version"] == "v1"


def test_another_version_answers_where_nobody_listens(gateway: RunningGateway) -> None:
    assert told(gateway.client.get("/gone", FREE)) == (200, "v2", "v1")


def test_a_client_error_is_the_versions_own_answer(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    upstreams[0].answers["/scored"] = Answer(404)
    assert told(gateway.client.get("/scored", FREE)) == (404, "v1", None)
    assert upstreams[1].received == []


def test_the_last_one_asked_is_the_one_that_answers(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    upstreams[0].answers["/scored"] = upstreams[1].answers["/scored"] = Answer(503)
    assert told(gateway.client.get("/scored", FREE)) == (503, "v2", "v1")
    upstreams[0].answers["/patient"] = upstreams[1].answers["/patient"] = Answer(503)
    assert told(gateway.client.get("/patient", FREE)) == (200, "v3", "v1")
    assert [len(upstream.received) for upstream in upstreams] == [2, 2, 1]


def test_a_version_that_is_ejected_is_not_asked_again(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    one, _, _ = upstreams
    one.answers["/ejecting"] = Answer(503)

    def ejected() -> bool:
        one.clear()
        assert told(gateway.client.get("/ejecting", FREE)) == (200, "v2", "v1")
        return one.received == []

    eventually(ejected, "the version is left alone")


def test_a_stream_that_has_not_begun_is_anothers_turn(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    events = (("content-type", "text/event-stream"),)
    upstreams[0].answers["/streamed"] = Answer(503)
    upstreams[1].answers["/streamed"] = Answer(fields=events, chunks=((0.0, b"data: 1\n\n"), (0.0, b"data: 2\n\n")))
    answer = gateway.client.get("/streamed", FREE)
    assert told(answer) == (200, "v2", "v1")
    assert answer.body == b"data: 1\n\ndata: 2\n\n"


def test_only_as_many_stand_in_at_once_as_the_budget_says(
    gateway: RunningGateway, upstreams: Sequence[Upstream]
) -> None:
    one, two, _ = upstreams
    one.answers["/bounded"] = Answer(503)
    two.answers["/bounded"] = Answer(delay=SLOW)
    with ThreadPoolExecutor(1) as others:
        first = others.submit(gateway.client.get, "/bounded", FREE)
        eventually(lambda: two.received, "one request has another version stand in")
        for _ in range(5):
            assert told(gateway.client.get("/bounded", FREE)) == (503, "v1", None)
        assert len(two.received) == 1
        two.closing.set()  # the answer that is waited for
        assert told(first.result(20)) == (200, "v2", "v1")
    two.closing = threading.Event()


def test_each_model_of_a_route_has_its_own(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    upstreams[0].answers["/named"] = Answer(503)
    assert told(gateway.client.get("/named", FREE, ("x-model", "scored"))) == (200, "v2", "v1")
    assert told(gateway.client.get("/named", FREE, ("x-model", "alone"))) == (503, "v1", None)
    assert [len(upstream.received) for upstream in upstreams] == [2, 1, 0]


def test_nobody_forges_who_answered(gateway: RunningGateway, upstreams: Sequence[Upstream]) -> None:
    own = (("content-type", "application/json"), ("x-model-version", "v9"), ("x-model-fallback", "v8"))
    upstreams[0].answers["/scored"] = Answer(fields=own)
    answer = gateway.client.get("/scored", FREE, ("x-model-fallback", "v7"), ("x-extproc-cluster", "model.gone/v1"))
    assert answer.all("x-model-version") == ["v1"]
    assert answer.all("x-model-fallback") == []

"""Shadows that are compared: what is asked of both versions, and what is bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from extproc.app.comparing import WAITING, WAITING_BYTES, Comparer, call_of, compares, told_of
from extproc.app.project import read_project
from extproc.config.expressions import compile_expression
from extproc.core.comparing import Agreement, Compared, Comparison
from extproc.core.headers import Headers
from extproc.core.message import Request
from extproc.core.ports import Answer, Call
from extproc.testing import FakeClock, FakeFetch
from tests.plan.gateways import HEAD
from tests.turning import until

GATEWAY = (
    HEAD.replace("models:", "models:\n  plain: {versions: {v1: {upstream: users, weight: 100}}, sticky: none}")
    + """\
  score:
    sticky: none
    versions: {v1: {upstream: users, weight: 100}, v2: {upstream: orders, weight: 0}}
    shadow: {version: v2, percent: 100, compare: {fields: {label: response.json.label}, timeout: 2s}}
routes: [{name: score, match: {path: /score}, model: score, authenticate: none}]
"""
)
HEADERS = Headers(
    (
        ("connection", "close"), ("content-length", "2"), ("accept-encoding", "gzip"), ("x-consumer-id", "acme"),
        ("x-request-id", "r-1"),
    )
)  # fmt: skip
ASKED = Comparison(
    "score", "v1", "score", Request("POST", "/score", "shop", "q=1", headers=HEADERS, id="r-1", body=b"{}")
)
ONE, OTHER = "http://127.0.0.1:9101/score?q=1", "http://orders.internal:9102/score?q=1"


@dataclass(slots=True)
class Heard:
    compared: list[Compared] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def comparer(heard: Heard, fetch: FakeFetch) -> Comparer:
    models = compares(read_project(Path("gateway.yaml"), {}, GATEWAY).plan, compile_expression)
    assert list(models) == ["score"]
    return Comparer(models, fetch, FakeClock(), heard.compared.append, heard.dropped.append)


async def test_both_versions_are_asked_the_same_and_told_that_it_is_a_copy() -> None:
    heard = Heard()
    fetch = FakeFetch({ONE: Answer(200, body=b'{"label": 1}'), OTHER: Answer(200, body=b'{"label": 2}')})
    await comparer(heard, fetch).make(ASKED)
    assert [call.url for call in fetch.calls] == [ONE, OTHER]
    expected = (("host", "shop"), ("x-consumer-id", "acme"), ("x-request-id", "r-1"), ("x-extproc-shadow", "true"))
    for call in fetch.calls:
        assert (call.method, call.headers, call.body, call.timeout) == ("POST", expected, b"{}", 2.0)
    (compared,) = heard.compared
    assert compared.fields == {"label": Agreement.DIFFER}


async def test_what_is_told_holds_nothing_of_an_answer() -> None:
    heard = Heard()
    fetch = FakeFetch({ONE: Answer(200, body=b'{"label": "secret"}')})  # the other one does not answer
    await comparer(heard, fetch).make(ASKED)
    told = told_of(heard.compared[0])
    assert told == {
        "model": "score",
        "route": "score",
        "request_id": "r-1",
        "chosen": {"version": "v1", "status": 200, "duration_us": 0},
        "shadow": {"version": "v2", "status": 0, "duration_us": 0},
        "fields": {"label": "unanswered"},
    }
    assert "secret" not in str(told)


async def test_what_there_is_no_room_for_is_dropped() -> None:
    heard = Heard()
    waiting = comparer(heard, FakeFetch())
    for _ in range(WAITING + 3):
        waiting.put(ASKED)
    assert heard.dropped == ["score"] * 3


async def test_few_large_ones_are_as_many_as_many_small_ones() -> None:
    heard = Heard()
    waiting = comparer(heard, FakeFetch())
    large = Comparison("score", "v1", "score", Request("POST", "/score", body=bytes(3 * 1024 * 1024)))
    fit = WAITING_BYTES // large.weight
    for _ in range(fit + 2):
        waiting.put(large)
    assert heard.dropped == ["score"] * 2


def so_many(heard: Heard, number: int) -> bool:
    return len(heard.compared) >= number


async def test_what_waits_is_asked_for_in_its_turn_and_makes_room() -> None:
    heard = Heard()
    fetch = FakeFetch({ONE: Answer(200, body=b'{"label": 1}'), OTHER: Answer(200, body=b'{"label": 1}')})
    working = comparer(heard, fetch)
    async with asyncio.TaskGroup() as group:
        tending = group.create_task(working.tend())
        for number in range(2 * WAITING):
            working.put(ASKED)
            await until(partial(so_many, heard, number + 1))
        tending.cancel()
    assert heard.dropped == []
    assert {compared.fields["label"] for compared in heard.compared} == {Agreement.AGREE}


class Breaking:
    async def send(self, call: Call) -> Answer:
        raise RuntimeError("broken")


async def test_what_goes_wrong_ends_nothing() -> None:
    heard = Heard()
    models = compares(read_project(Path("gateway.yaml"), {}, GATEWAY).plan, compile_expression)
    working = Comparer(models, Breaking(), FakeClock(), heard.compared.append, heard.dropped.append)
    async with asyncio.TaskGroup() as group:
        tending = group.create_task(working.tend())
        working.put(ASKED)
        working.put(ASKED)
        await until(lambda: len(heard.dropped) == 2)
        assert not tending.done()
        tending.cancel()


def test_a_request_without_a_query_or_a_body_is_asked_for_as_it_is() -> None:
    call = call_of(Request("GET", "/score", "shop"), "[::1]:80", 1.0)
    assert (call.url, call.body) == ("http://[::1]:80/score", b"")

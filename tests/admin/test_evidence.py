"""What versions did, and what applications say of it, over the admin address: for the bearer of the token alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from extproc.admin.application import application
from extproc.admin.feedback import MAX_BODY, feedback_application
from extproc.app.observing import Unheard
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence
from extproc.core.feedback import Feedback
from tests.admin.test_application import TOKEN, Answer, Facts
from tests.core.evidence_cases import one_request, one_score

BEARER: Final = f"Bearer {TOKEN}".encode()
GOOD: Final = {"request_id": "8a3e7d0c-1b2f-4c55-9d3e-6f7a8b9c0d1e", "score": 0.5}


@dataclass(slots=True)
class Known:
    """One model's evidence, or an outage."""

    away: bool = False
    asked: list[tuple[str, int]] = field(default_factory=list)

    def knows(self, model: str) -> bool:
        return model == "chat"

    async def lately(self, model: str, window: int) -> Mapping[str, Evidence]:
        self.asked.append((model, window))
        if self.away:
            raise StoreUnavailable("evidence: Redis does not answer")
        done = one_request(0.1, tokens=7) + one_request(None, error=True)
        return {"v2": one_request(None), "v1": done + one_score(0.5) + one_score(1.0)}


@dataclass(slots=True)
class Taker:
    room: int = 100
    taken: list[Feedback] = field(default_factory=list)

    def offer(self, feedback: Feedback) -> bool:
        self.taken.append(feedback)
        return len(self.taken) <= self.room


async def through_envoy(taker: Taker, *fields: tuple[str, str], method: str = "POST") -> Answer:
    """On the socket that Envoy alone can enter."""
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": "/any/path",
        "raw_path": b"/any/path", "query_string": b"", "root_path": "", "server": None,
        "headers": [(name.encode(), value.encode()) for name, value in fields],
    }  # fmt: skip

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": json.dumps(GOOD).encode(), "more_body": False}

    answer = Answer()
    await feedback_application(taker)(scope, receive, answer.send)
    return answer


async def ask(
    path: str, body: object = None, *, known: Known | None = None, taker: Taker | None = None, token: bytes = BEARER
) -> Answer:
    app = application(Facts(), TOKEN, None, Unheard(), None, known, taker)
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET" if body is None else "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "server": ("::1", 9900), "headers": [(b"authorization", token)],
    }  # fmt: skip

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": raw, "more_body": False}

    answer = Answer()
    await app(scope, receive, answer.send)
    return answer


def reason(answer: Answer) -> tuple[int, str]:
    assert isinstance(answer.document, dict)
    return answer.status, str(answer.document["reason"])


async def test_evidence_is_told_by_version() -> None:
    known = Known()
    answer = await ask("/evidence?model=chat&window=60", known=known)
    assert answer.status == 200
    assert known.asked == [("chat", 60)]
    assert isinstance(answer.document, dict)
    versions = answer.document["versions"]
    assert list(versions) == ["v1", "v2"]
    assert versions["v1"] == {
        "requests": 2, "errors": 1, "tokens": 7, "p50": pytest.approx(0.1, rel=0.1),
        "p95": pytest.approx(0.1, rel=0.1), "p99": pytest.approx(0.1, rel=0.1), "scores": 2, "mean_score": 0.75,
    }  # fmt: skip
    assert (versions["v2"]["p95"], versions["v2"]["mean_score"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?model=other", (404, "unknown_model")),
        ("", (404, "unknown_model")),
        ("?model=chat&window=-1", (400, "invalid_request")),
        ("?model=chat&window=1e3", (400, "invalid_request")),
        ("?model=chat&window=" + "9" * 100, (400, "invalid_request")),
        ("?model=chat&window=", (400, "invalid_request")),
    ],
)
async def test_what_cannot_be_told_is_said(query: str, expected: tuple[int, str]) -> None:
    assert reason(await ask(f"/evidence{query}", known=Known())) == expected


async def test_a_gateway_without_models_and_a_store_that_is_away_say_so() -> None:
    assert reason(await ask("/evidence?model=chat")) == (409, "no_models")
    assert reason(await ask("/evidence?model=chat", known=Known(away=True))) == (503, "store_unavailable")


@pytest.mark.parametrize("path", ["/evidence?model=chat", "/feedback"])
async def test_without_the_token_nothing_is_told_or_taken(path: str) -> None:
    taker = Taker()
    answer = await ask(path, GOOD if path == "/feedback" else None, known=Known(), taker=taker, token=b"Bearer no")
    assert reason(answer) == (401, "no_admin_token")
    assert taker.taken == []


@pytest.mark.parametrize("score", [0, 1, 0.5, 1.0, 0.000001])
async def test_feedback_is_taken_and_may_be_of_anybodys_request(score: float) -> None:
    taker = Taker()
    answer = await ask("/feedback", {**GOOD, "score": score}, taker=taker)
    assert (answer.status, answer.document) == (202, {"taken": True})
    assert taker.taken == [Feedback(GOOD["request_id"], score, None)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'{"request_id": "a", "score": NaN}', b'{"request_id": "a", "score": Infinity}',
        b'{"request_id": "a", "score": 1e400}', b'{"request_id": "a", "score": 0.1, "score": 0.9}',
        {"request_id": "a"}, {"score": 1}, {**GOOD, "score": "0.5"}, {**GOOD, "score": True}, {**GOOD, "score": None},
        {**GOOD, "score": -0.1}, {**GOOD, "score": 1.1}, {**GOOD, "score": [1]}, {**GOOD, "request_id": ""},
        {**GOOD, "request_id": "a b"}, {**GOOD, "request_id": "x" * 65}, {**GOOD, "request_id": 7},
        {**GOOD, "request_id": "a\n"}, {**GOOD, "consumer": "acme"}, {**GOOD, "model": "chat"},
    ],
)  # fmt: skip
async def test_anything_else_is_refused_whole(body: object) -> None:
    taker = Taker()
    assert reason(await ask("/feedback", body, taker=taker)) == (400, "invalid_request")
    assert taker.taken == []


async def test_a_body_that_nobody_needs_is_not_read() -> None:
    answer = await ask("/feedback", b" " * (MAX_BODY + 1), taker=Taker())
    assert reason(answer) == (413, "body_too_large")


async def test_more_than_can_be_taken_is_refused_and_told_to_come_again() -> None:
    answer = await ask("/feedback", GOOD, taker=Taker(room=0))
    assert reason(answer) == (429, "too_much_feedback")
    assert answer.headers["retry-after"] == "60"


async def test_where_no_model_takes_feedback_that_is_said() -> None:
    assert reason(await ask("/feedback", GOOD)) == (409, "no_feedback")


async def test_through_envoy_it_is_of_the_consumer_that_envoy_names() -> None:
    taker = Taker()
    assert (await through_envoy(taker, ("x-consumer-id", "acme"))).status == 202
    assert taker.taken == [Feedback(GOOD["request_id"], 0.5, "acme")]  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [(), (("x-consumer-id", ""),), (("authorization", f"Bearer {TOKEN}"),)])
async def test_through_envoy_nobody_says_anything_without_a_name(fields: tuple[tuple[str, str], ...]) -> None:
    taker = Taker()
    assert reason(await through_envoy(taker, *fields)) == (403, "no_consumer")
    assert taker.taken == []


async def test_through_envoy_there_is_nothing_to_read() -> None:
    assert (await through_envoy(Taker(), ("x-consumer-id", "acme"), method="GET")).status == 405

"""The HTTP address of a rate limit service."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from extproc.admin import ratelimit
from extproc.admin.ratelimit import ratelimit_application

LIMITS = "d.a: unit=DAY requests_per_unit=1, shadow_mode: false, quota_mode: false\n"


@dataclass(slots=True)
class Facts:
    is_ready: bool = True
    bodies: list[bytes] = field(default_factory=list)

    def ready(self) -> bool:
        return self.is_ready

    def settle(self) -> None:
        pass

    def metrics(self, accept: str) -> tuple[str, bytes]:
        return "text/plain", b"metrics"

    def limits(self) -> str:
        return LIMITS

    async def answer_json(self, body: bytes) -> tuple[int, str, str]:
        self.bodies.append(body)
        return 429, "application/json", '{"overallCode": "OVER_LIMIT"}'


async def ask(
    facts: Facts, path: str, method: str = "GET", *parts: bytes, token: str | None = None, given: str = ""
) -> tuple[int, str, bytes]:
    """Status, content type and body, by ASGI itself."""
    headers = [(b"authorization", given.encode())] if given else []
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers}
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await ratelimit_application(facts, token)(scope, receive, send)
    kind = dict(sent[0]["headers"]).get(b"content-type", b"").decode()
    return sent[0]["status"], kind, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_json_is_judged_whole_however_it_is_sent(method: str) -> None:
    facts = Facts()
    answer = await ask(facts, "/json", method, b'{"dom', b'ain": "d"}')
    assert answer == (429, "application/json", b'{"overallCode": "OVER_LIMIT"}')
    assert facts.bodies == [b'{"domain": "d"}']


async def test_a_body_has_a_largest_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratelimit, "LARGEST", 10)
    facts = Facts()
    assert (await ask(facts, "/json", "POST", b"123456", b"78901"))[0] == 413
    assert (await ask(facts, "/json", "POST", b"1234567890"))[0] == 429
    assert facts.bodies == [b"1234567890"]


@pytest.mark.parametrize(("ready", "answer"), [(True, (200, b"OK")), (False, (500, b""))])
async def test_the_health_check_says_ok_or_500(ready: bool, answer: tuple[int, bytes]) -> None:
    status, _, body = await ask(Facts(ready), "/healthcheck")
    assert (status, body) == answer
    assert (await ask(Facts(ready), "/readyz"))[0] == (200 if ready else 503)


async def test_the_limits_are_listed_for_whoever_has_the_token_where_there_is_one() -> None:
    assert (await ask(Facts(), "/rlconfig"))[::2] == (200, LIMITS.encode())
    assert (await ask(Facts(), "/rlconfig", token="t"))[0] == 401
    assert (await ask(Facts(), "/rlconfig", token="t", given="Bearer t"))[::2] == (200, LIMITS.encode())


async def test_metrics_and_health_are_for_everybody() -> None:
    assert (await ask(Facts(), "/metrics", token="t"))[2] == b"metrics"
    assert (await ask(Facts(), "/healthz", token="t"))[0] == 200
    assert (await ask(Facts(), "/plan"))[0] == 404

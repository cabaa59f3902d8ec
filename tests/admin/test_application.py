"""The admin address: health and metrics for anybody, everything else for whoever has the token."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.applications import Starlette

from extproc.admin.application import application as application_of
from extproc.app.observing import Unheard

TOKEN = "correct-horse"
PLAN: dict[str, object] = {"revision": "r1", "routes": [{"name": "orders", "calls": 1}]}


def application(facts: Facts, token: str | None) -> Starlette:
    return application_of(facts, token, None, Unheard())


@dataclass(slots=True)
class Facts:
    is_ready: bool = True
    asked: int = 0
    keys: dict[str, object] | None = None

    def ready(self) -> bool:
        return self.is_ready

    def plan(self) -> dict[str, object]:
        self.asked += 1
        return PLAN

    def published_keys(self) -> dict[str, object] | None:
        return self.keys

    def settle(self) -> None:
        pass

    def metrics(self, accept: str) -> tuple[str, bytes]:
        return f"text/{self.wrote_in()}; version=7", f"accepted: {accept}".encode()

    def wrote_in(self) -> str:
        """A thread has no event loop that it would keep from others."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return "thread"
        return "loop"


@dataclass(slots=True)
class Crowded(Facts):
    """Notices how many write metrics at once: each waits for the next to come, which must not happen."""

    present: int = 0
    most: int = 0
    another: threading.Event = field(default_factory=threading.Event)

    def metrics(self, accept: str) -> tuple[str, bytes]:
        self.present += 1
        self.most = max(self.most, self.present)
        if self.present > 1:
            self.another.set()
        self.another.wait(0.01)
        self.present -= 1
        return "text/plain", b""


@dataclass(slots=True)
class Answer:
    """Collects what an ASGI application sends."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        self.body += message.get("body", b"")

    @property
    def document(self) -> object:
        return json.loads(self.body)


async def ask(
    app: Starlette, path: str, *authorization: bytes, method: str = "GET", accept: Sequence[bytes] = ()
) -> Answer:
    """One request, as a server hands it over: httpx, which starlette's own client needs, is not here."""
    headers = [(b"authorization", value) for value in authorization] + [(b"accept", value) for value in accept]
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers, "server": ("::1", 9900),
    }  # fmt: skip

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    answer = Answer()
    await app(scope, receive, answer.send)
    return answer


async def test_the_process_is_alive_whether_it_is_ready_or_not() -> None:
    for ready in (True, False):
        answer = await ask(application(Facts(ready), TOKEN), "/healthz")
        assert (answer.status, answer.document) == (200, {"status": "alive"})


async def test_readiness_is_what_the_sidecar_says_now() -> None:
    facts = Facts(is_ready=False)
    app = application(facts, TOKEN)
    assert (await ask(app, "/readyz")).status == 503
    facts.is_ready = True
    answer = await ask(app, "/readyz")
    assert (answer.status, answer.document) == (200, {"status": "ready"})
    facts.is_ready = False
    assert (await ask(app, "/readyz")).document == {"status": "not ready"}


async def test_health_needs_no_token_where_none_is_configured() -> None:
    app = application(Facts(), None)
    assert [(await ask(app, path)).status for path in ("/healthz", "/readyz")] == [200, 200]


async def test_the_bearer_of_the_token_reads_the_plan() -> None:
    answer = await ask(application(Facts(), TOKEN), "/plan", f"Bearer {TOKEN}".encode())
    assert (answer.status, answer.document) == (200, PLAN)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "authorization",
    [
        (),
        (b"",),
        (b"Bearer",),
        (b"Bearer ",),
        (b"Bearer correct",),
        (b"Bearer correct-horse ",),
        (b"Bearer correct-horse-battery",),
        (b"Bearer  correct-horse",),
        (b"Bearer CORRECT-HORSE",),
        (b"Basic correct-horse",),
        (b"correct-horse",),
        (b"Bearer wrong", b"Bearer correct-horse"),
        (b"Bearer \xff\xfe\x00",),
        (b"Bearer " + b"x" * 100_000,),
    ],
)
async def test_whoever_has_another_token_or_none_is_told_to_bring_one(authorization: tuple[bytes, ...]) -> None:
    facts = Facts()
    answer = await ask(application(facts, TOKEN), "/plan", *authorization)
    assert answer.status == 401
    assert isinstance(answer.document, dict)
    assert answer.document["reason"] == "no_admin_token"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert facts.asked == 0


@pytest.mark.parametrize("token", [None, ""])
@pytest.mark.parametrize("authorization", [b"Bearer ", b"Bearer", b"Bearer None", b"", b"Bearer x"])
async def test_where_no_token_is_configured_nobody_reads_the_plan(token: str | None, authorization: bytes) -> None:
    facts = Facts()
    assert (await ask(application(facts, token), "/plan", authorization)).status == 401
    assert facts.asked == 0


@pytest.mark.parametrize("token", [TOKEN, None])
async def test_metrics_are_for_anybody_in_the_type_that_they_say(token: str | None) -> None:
    answer = await ask(application(Facts(), token), "/metrics")
    assert (answer.status, answer.body) == (200, b"accepted: ")
    assert answer.headers["content-type"] == "text/thread; version=7"


async def test_what_a_scraper_accepts_is_handed_on_whole() -> None:
    answer = await ask(application(Facts(), None), "/metrics", accept=[b"text/plain;q=0.5", b"application/x, */*"])
    assert answer.body == b"accepted: text/plain;q=0.5, application/x, */*"


async def test_metrics_are_written_in_a_thread_and_in_one_at_a_time() -> None:
    facts = Crowded()
    app = application(facts, None)
    answers = await asyncio.gather(*(ask(app, "/metrics") for _ in range(8)))
    assert [answer.status for answer in answers] == [200] * 8
    assert facts.most == 1


@pytest.mark.parametrize("token", [TOKEN, None])
async def test_public_keys_are_for_anybody_and_say_how_long_they_may_be_kept(token: str | None) -> None:
    published: dict[str, object] = {"keys": [{"kty": "OKP"}]}
    answer = await ask(application(Facts(keys=published), token), "/.well-known/jwks.json")
    assert (answer.status, answer.document) == (200, published)
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert answer.headers["cache-control"] == "public, max-age=300"


async def test_where_nothing_is_signed_there_are_no_keys_to_find() -> None:
    answer = await ask(application(Facts(), TOKEN), "/.well-known/jwks.json")
    assert (answer.status, answer.document) == (404, {"reason": "nothing_is_signed"})


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_changed(method: str) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/plan", "/.well-known/jwks.json"):
        answer = await ask(application(Facts(), TOKEN), path, f"Bearer {TOKEN}".encode(), method=method)
        assert answer.status == 405


@pytest.mark.parametrize("path", ["/", "/metrics/x", "/plan/x", "//plan", "/healthz/../plan"])
async def test_what_is_not_there_is_not_found(path: str) -> None:
    assert (await ask(application(Facts(), TOKEN), path, f"Bearer {TOKEN}".encode())).status == 404

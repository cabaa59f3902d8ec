"""An issuer's keys over real HTTP: large, late, elsewhere or broken answers leave the old keys in place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

import pytest
from aiohttp import web

from extproc.core.ports import KeySource
from extproc.fetch import HttpFetch
from extproc.stores import remote_keys
from extproc.stores.key_sets import StoredKeySets
from extproc.testing import FakeClock
from tests.stores.issuers import ISSUER, outcome, token, until
from tests.stores.signing import EC, OTHER_EC, jwk, jwks

ONE: Final = token(EC, "one")
TWO: Final = token(OTHER_EC, "two")
Respond = Callable[[], Awaitable[web.StreamResponse]]


async def good() -> web.Response:
    return web.json_response(jwks(jwk(EC, kid="one")))


async def fails() -> web.Response:
    return web.json_response(jwks(jwk(OTHER_EC, kid="two")), status=500)


async def large() -> web.Response:
    padded = {**jwks(jwk(OTHER_EC, kid="two")), "padding": "x" * 5_000_000}
    return web.Response(body=json.dumps(padded).encode())


async def bomb() -> web.Response:
    answer = await large()
    answer.enable_compression(web.ContentCoding.gzip)
    return answer


async def elsewhere() -> web.Response:
    raise web.HTTPFound("/elsewhere")


async def hangs() -> web.Response:
    await asyncio.Event().wait()
    return await good()


async def cut() -> web.Response:
    return web.Response(body=b'{"keys": [', headers={"content-type": "application/json"})


class Publisher:
    respond: Respond = staticmethod(good)
    asked: list[str]

    def __init__(self) -> None:
        self.asked = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path == "/elsewhere":
            return web.json_response(jwks(jwk(OTHER_EC, kid="two")))
        return await self.respond()


@asynccontextmanager
async def published(publisher: Publisher) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_get("/{path:.*}", publisher.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("respond", [fails, large, bomb, elsewhere, hangs, cut])
async def test_an_answer_that_is_no_key_set_leaves_the_old_keys_in_place(
    respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_keys, "TIMEOUT", 0.05)
    publisher, clock, failures = Publisher(), FakeClock(), list[str]()

    def tell(event: str, **said: object) -> None:
        if event == "keys_unavailable":
            failures.append(event)

    async with published(publisher) as url, HttpFetch() as fetch:
        sets = StoredKeySets(clock, fetch, tell)
        keys = sets.at(KeySource(ISSUER, f"{url}/jwks"))
        task = asyncio.ensure_future(sets.tend())
        await until(sets.ready)
        publisher.respond = respond
        assert await outcome(keys, TWO) == "provider_unavailable"
        await until(lambda: bool(failures))
        assert await outcome(keys, ONE) == "good"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert publisher.asked == ["/jwks", "/jwks"]

"""The way out, against a real server: whole answers, and nothing but an outage where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from extproc.core.errors import ProviderUnavailable
from extproc.core.ports import Answer, Call
from extproc.fetch import HttpFetch

SECRET = "s3cr3t-of-the-request"


@asynccontextmanager
async def server() -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.Response:
        sent = await request.read()
        return web.Response(body=sent, headers={"x-method": request.method, "x-seen": request.headers.get("x-one", "")})

    async def large(request: web.Request) -> web.Response:
        answer = web.Response(body=b"0" * 1_000_000)
        answer.enable_compression(web.ContentCoding.gzip)
        return answer

    async def hangs(request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async def away(request: web.Request) -> web.Response:
        raise web.HTTPFound("/echo")

    app = web.Application()
    for path, endpoint in (("/echo", echo), ("/large", large), ("/hangs", hangs), ("/away", away)):
        app.router.add_route("*", path, endpoint)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def sent(call: Call) -> Answer:
    async with HttpFetch() as fetch:
        return await fetch.send(call)


async def test_what_is_sent_arrives_and_what_is_answered_comes_back() -> None:
    async with server() as url:
        answer = await sent(Call(f"{url}/echo", "POST", (("x-one", "1"),), b"body"))
    assert (answer.status, answer.body) == (200, b"body")
    assert (answer.headers.get("x-method"), answer.headers.get("x-seen")) == ("POST", "1")


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with server() as url:
        assert (await sent(Call(f"{url}/away"))).status == 302


async def test_an_answer_that_is_too_long_is_none_however_small_it_arrives() -> None:
    async with server() as url:
        with pytest.raises(ProviderUnavailable, match="more than 1000 bytes"):
            await sent(Call(f"{url}/large", max_bytes=1000))


async def test_who_does_not_answer_in_time_is_not_waited_for() -> None:
    async with server() as url:
        with pytest.raises(ProviderUnavailable, match="no answer in time"):
            await sent(Call(f"{url}/hangs", timeout=0.05))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://[::1", "gopher://127.0.0.1/", "file:///etc/passwd"])
async def test_nobody_there_is_an_outage_that_tells_nothing_of_what_was_sent(url: str) -> None:
    call = Call(url, "POST", (("authorization", SECRET),), SECRET.encode())
    with pytest.raises(ProviderUnavailable) as raised:
        await sent(call)
    assert SECRET not in f"{raised.value}{call!r}"

"""The way back through Envoy's socket, against a real server on one: what is written is what is sent, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from extproc.core.errors import AnswerTooLong, NoAnswerInTime, ProviderUnavailable
from extproc.core.ports import Call
from extproc.fetch import SocketFetch

SEEN: list[tuple[str, str, dict[str, str], bytes]] = []


@pytest.fixture(name="socket")
async def _socket(tmp_path: Path) -> AsyncIterator[str]:
    async def echo(request: web.Request) -> web.Response:
        SEEN.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        if request.path == "/packed":
            answer = web.Response(body=b"0" * 100_000)
            answer.enable_compression(web.ContentCoding.gzip)
            return answer
        if request.path == "/hangs":
            await asyncio.Event().wait()
        if request.path == "/away":
            raise web.HTTPFound("/echo")
        return web.Response(body=b"x" * 1000)

    SEEN.clear()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", echo)
    runner = web.AppRunner(application, shutdown_timeout=0.1)  # one of its handlers never ends
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "envoy.sock")).start()
    yield str(tmp_path / "envoy.sock")
    await runner.cleanup()


@pytest.fixture(name="fetch")
async def _fetch(socket: str) -> AsyncIterator[SocketFetch]:
    opened = SocketFetch(socket)
    yield opened
    await opened.close()


async def test_a_path_is_sent_as_it_is_spelt_with_the_headers_that_are_named_and_no_others(fetch: SocketFetch) -> None:
    fields = (("host", "shop.example"), ("x-a", "1"))
    answer = await fetch.send(Call("/a%2Fb%20c?d=%26&e=+", "POST", fields, b"body"))
    assert (answer.status, len(answer.body)) == (200, 1000)
    ((method, target, headers, body),) = SEEN
    assert (method, target, body) == ("POST", "/a%2Fb%20c?d=%26&e=+", b"body")
    sent = {name.lower(): value for name, value in headers.items()}
    added = {"content-length": "4", "content-type": "application/octet-stream"}
    assert sent == {"host": "shop.example", "x-a": "1", **added}


async def test_no_redirect_is_followed(fetch: SocketFetch) -> None:
    assert (await fetch.send(Call("/away"))).status == 302


async def test_what_is_longer_than_it_may_be_is_no_answer(fetch: SocketFetch) -> None:
    assert len((await fetch.send(Call("/", max_bytes=1000))).body) == 1000
    with pytest.raises(AnswerTooLong):
        await fetch.send(Call("/", max_bytes=999))


async def test_what_is_packed_is_no_answer_and_nothing_is_unpacked(fetch: SocketFetch) -> None:
    with pytest.raises(ProviderUnavailable, match="packed"):
        await fetch.send(Call("/packed", headers=(("accept-encoding", "gzip"),), max_bytes=10**6))


async def test_what_does_not_come_in_time_is_no_answer(fetch: SocketFetch) -> None:
    with pytest.raises(NoAnswerInTime):
        await fetch.send(Call("/hangs", timeout=0.05))


async def test_where_nobody_listens_nobody_answers(tmp_path: Path) -> None:
    fetch = SocketFetch(str(tmp_path / "nobody.sock"))
    with pytest.raises(ProviderUnavailable):
        await fetch.send(Call("/"))
    await fetch.close()


async def test_a_header_that_would_be_two_is_not_sent(fetch: SocketFetch) -> None:
    with pytest.raises(ProviderUnavailable):
        await fetch.send(Call("/", headers=(("x-a", "1\r\nx-b: 2"),)))
    assert SEEN == []

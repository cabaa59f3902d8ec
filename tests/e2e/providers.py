"""An authorization server that is asked about tokens (RFC 7662), by aiohttp in a thread of its own."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web

CLIENT: Final = "gateway"
CLIENT_SECRET: Final = "the gateway's own: s3cr3t"  # as a form it is spelled otherwise


class Provider:
    """Knows `tokens`, and keeps in `asked` which ones it was asked about. `mood` says how it answers: well, slow
    (never), gone (it hangs up), or with a text that is none."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.mood = "well"
        self.held = threading.Event()
        self.held.set()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/introspect"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)

    def close(self) -> None:
        self.held.set()
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(20)
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application()
        app.router.add_post("/introspect", self._introspect)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._ended.wait()
        await runner.cleanup()

    async def _introspect(self, request: web.Request) -> web.Response:
        form = await request.post()
        token = str(form["token"])
        self.asked.append(token)
        if request.headers["authorization"] != _basic() or form["token_type_hint"] != "access_token":
            return web.json_response({"error": "invalid_client"}, status=401)
        await asyncio.to_thread(self.held.wait, 20)
        return await self._answered(request, token)

    async def _answered(self, request: web.Request, token: str) -> web.Response:
        if self.mood == "slow":
            await asyncio.Event().wait()
        if self.mood == "gone" and request.transport is not None:
            request.transport.abort()
        if self.mood not in ("well", "slow", "gone"):
            return web.Response(text=self.mood, content_type="application/json")
        return web.json_response(self.tokens.get(token, {"active": False}))


@contextmanager
def provider() -> Iterator[Provider]:
    found = Provider()
    found.start()
    try:
        yield found
    finally:
        found.close()


def _basic() -> str:
    """RFC 6749 §2.3.1, spelled out by hand."""
    secret = "the+gateway%27s+own%3A+s3cr3t"
    return "Basic " + base64.b64encode(f"{CLIENT}:{secret}".encode()).decode()

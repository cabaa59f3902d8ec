"""Routes of the admin address. Health and metrics are for anybody who reaches it, everything else for the bearer of the
admin token: a scraper has none, and metrics name no consumer."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Endpoint = Callable[[Request], Awaitable[Response]]


class Facts(Protocol):
    """What the admin address tells; the composition root knows it."""

    def ready(self) -> bool: ...

    def settle(self) -> None:
        """Called before `metrics`, and not in its thread: what was measured until now is to be in it."""

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Content type and text. Called in a thread."""


class GatewayFacts(Facts, Protocol):
    def plan(self) -> dict[str, object]: ...


def application(facts: GatewayFacts, token: str | None) -> Starlette:
    """Without a token, nothing but health and metrics is answered."""

    async def plan(request: Request) -> Response:
        return JSONResponse(facts.plan())

    return Starlette(routes=[*routes(facts), Route("/plan", for_bearer(token, plan))])


def routes(facts: Facts) -> list[Route]:
    """What every process of ours tells everybody."""
    scraping = asyncio.Lock()

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def readyz(request: Request) -> Response:
        ready = facts.ready()
        return JSONResponse({"status": "ready" if ready else "not ready"}, status_code=200 if ready else 503)

    async def metrics(request: Request) -> Response:
        accept = ", ".join(request.headers.getlist("accept"))
        # Thousands of series take long to write: in a thread, so that decisions go on meanwhile, and in one at a time.
        async with scraping:
            facts.settle()
            content_type, text = await asyncio.to_thread(facts.metrics, accept)
        return Response(text, headers={"content-type": content_type})

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]


def for_bearer(token: str | None, endpoint: Endpoint) -> Endpoint:
    async def guarded(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not token or not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return JSONResponse({"reason": "no_admin_token"}, 401, headers={"www-authenticate": "Bearer"})
        return await endpoint(request)

    return guarded

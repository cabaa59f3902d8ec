"""The HTTP address of a rate limit service: what envoyproxy/ratelimit has on its HTTP and debug ports, and ours.

`/json` is the service itself, so it is for anybody who reaches the address. `/rlconfig` tells the limits; with an admin
token, it tells them to its bearer alone.
"""

from __future__ import annotations

from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from extproc.admin.application import Facts, for_bearer, routes

LARGEST: Final = 1024 * 1024  # bytes of a request: Envoy's own are some hundred


class LimitFacts(Facts, Protocol):
    async def answer_json(self, body: bytes) -> tuple[int, str, str]:
        """Status, content type and text."""

    def limits(self) -> str:
        """A line for each limit in force."""


def ratelimit_application(facts: LimitFacts, token: str | None) -> Starlette:
    async def judged(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                return PlainTextResponse("larger than a request may be\n", 413)
        status, content_type, text = await facts.answer_json(bytes(body))
        return Response(text, status, media_type=content_type)

    async def healthcheck(request: Request) -> Response:
        return PlainTextResponse("OK") if facts.ready() else Response(status_code=500)

    async def limits(request: Request) -> Response:
        return PlainTextResponse(facts.limits())

    own = [
        # Some clients send a body with GET, and the service that this stands for takes any method.
        Route("/json", judged, methods=["GET", "POST", "PUT"]),
        Route("/healthcheck", healthcheck),
        Route("/rlconfig", for_bearer(token, limits) if token else limits),
    ]
    return Starlette(routes=[*routes(facts), *own])

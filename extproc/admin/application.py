"""Routes of the admin address. Health, metrics and public keys are for anybody who reaches it, everything else for the
bearer of the admin token: a scraper has none, metrics name no consumer, and a public key is no secret."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.evidence import EvidenceReader, evidence_route
from extproc.admin.feedback import FeedbackTaker, feedback_route
from extproc.admin.keys import key_routes
from extproc.admin.problems import http_problem, problem
from extproc.admin.rollouts import RolloutDesk, rollout_routes
from extproc.admin.usage import UsageReader, usage_route
from extproc.core.ports import Events
from extproc.stores.key_keeper import KeyKeeper

JWKS: Final = "/.well-known/jwks.json"
# A new key is published before it signs: within this time every upstream knows it.
JWKS_AGE: Final = "public, max-age=300"
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

    def published_keys(self) -> dict[str, object] | None:
        """The JWKS with which upstreams verify our tokens; None where nothing is signed."""


def application(
    facts: GatewayFacts,
    token: str | None,
    keeper: KeyKeeper | None,
    events: Events,
    usage: UsageReader | None = None,
    evidence: EvidenceReader | None = None,
    feedback: FeedbackTaker | None = None,
    rollouts: RolloutDesk | None = None,
) -> Starlette:
    """Without a token, nothing but health, metrics and public keys is answered. `keeper` is None where there is no
    store of keys, `usage`, `evidence` and `rollouts` where none are kept, `feedback` where no model takes any."""

    async def plan(request: Request) -> Response:
        return JSONResponse(facts.plan())

    async def jwks(request: Request) -> Response:
        keys = facts.published_keys()
        if keys is None:
            return JSONResponse({"reason": "nothing_is_signed"}, 404)
        return JSONResponse(keys, headers={"cache-control": JWKS_AGE}, media_type="application/jwk-set+json")

    guard = partial(for_bearer, token)
    told = [usage_route(usage, guard), evidence_route(evidence, guard), feedback_route(feedback, guard)]
    own = [Route(JWKS, jwks), Route("/plan", guard(plan)), *told]
    return Starlette(
        routes=[*routes(facts), *own, *key_routes(keeper, events, guard), *rollout_routes(rollouts, guard)],
        exception_handlers={HTTPException: http_problem},
    )


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
            said = "this is for the bearer of the admin token"
            return problem(HTTPStatus.UNAUTHORIZED, "no_admin_token", said, {"www-authenticate": "Bearer"})
        return await endpoint(request)

    return guarded

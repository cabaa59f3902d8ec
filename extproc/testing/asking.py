"""Asking one policy, as the gateway would, without an event loop in the test."""

from __future__ import annotations

import asyncio

from extproc.core.decision import Decision
from extproc.core.message import Consumer, Request, Response
from extproc.core.policy import Context, Policy


def ask(
    policy: Policy,
    request: Request,
    consumer: Consumer | None = None,
    *,
    response: Response | None = None,
    route: str = "test",
) -> Decision:
    """What the policy decides about a request, or, with `response`, about the upstream's answer to it."""
    context = Context(route, consumer)

    async def answer() -> Decision:
        if response is not None:
            return await policy.on_response(response, request, context)
        return await policy.on_request(request, context)

    return asyncio.run(answer())

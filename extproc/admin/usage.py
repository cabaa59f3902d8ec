"""Usage over the admin address, for the bearer of the admin token."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.asking import SECRET, Guard
from extproc.admin.problems import problem
from extproc.core.errors import StoreUnavailable
from extproc.core.usage import Sums

NO_USAGE: Final = "this gateway keeps no usage: write sidecar: {usage: {keep: 90d}}"
LONGEST: Final = 12  # digits of a moment


class UsageReader(Protocol):
    async def since(self, moment: int) -> Sums:
        """Raises StoreUnavailable."""


def usage_route(reader: UsageReader | None, guard: Guard) -> Route:
    async def usage(request: Request) -> Response:
        since = request.query_params.get("since", "0")
        if reader is None:
            return problem(HTTPStatus.CONFLICT, "no_usage", NO_USAGE)
        if not (since.isascii() and since.isdigit() and len(since) <= LONGEST):
            return problem(HTTPStatus.BAD_REQUEST, "invalid_request", "since is a moment, in seconds of the epoch")
        try:
            sums = await reader.since(int(since))
        except StoreUnavailable as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.reason, str(error))
        return JSONResponse({"usage": [[*used, *amounts] for used, amounts in sums.items()]}, headers=SECRET)

    return Route("/usage", guard(usage), methods=["GET"])

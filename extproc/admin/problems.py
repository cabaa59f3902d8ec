"""What the admin address says where it does not do what it was asked for: problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from extproc.core.decision import refusal


def problem(status: int, reason: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    reply = refusal(status, reason, detail, headers=headers)
    return Response(reply.body, reply.status, headers=dict(reply.headers))


async def http_problem(request: Request, error: Exception) -> Response:
    """Of the router's own: a path that is not there, a method that a path does not have."""
    status = HTTPStatus(error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR)
    named = (error.headers if isinstance(error, HTTPException) else None) or {}
    headers = {name.lower(): value for name, value in named.items()}
    return problem(status, status.name.lower(), status.description or status.phrase, headers)

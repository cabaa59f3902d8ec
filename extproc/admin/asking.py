"""What every endpoint of the admin address that is asked for something does alike: who may, what a body says, and
how it ends where it does not do it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from extproc.admin.problems import problem
from extproc.config.wishes import W, read_wish
from extproc.core.errors import StoreUnavailable
from extproc.core.strict_json import loads_strictly

SECRET: Final = {"cache-control": "no-store"}
Endpoint = Callable[[Request], Awaitable[Response]]
Guard = Callable[[Endpoint], Endpoint]  # lets nobody through but the bearer of the admin token
Refusals = Mapping[type[Exception], tuple[HTTPStatus, str]]  # the status and the reason of an endpoint's own errors


class TooLarge(Exception):
    """A body that nobody needs; it says how long one may be."""


async def read_body(request: Request, most: int) -> bytes:
    """Raises TooLarge before it is read whole."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"a body has at most {most} bytes")
    return body


def json_of(body: bytes) -> object:
    """Raises ValueError."""
    try:
        return loads_strictly(body)
    except ValueError:  # what it says quotes the body
        raise ValueError("the body is no JSON, or such as two readers understand differently") from None


async def wish_of(wish: type[W], request: Request, most: int) -> W:
    """What the body asks for; none asks for nothing. Raises ValueError and TooLarge."""
    body = await read_body(request, most)
    return read_wish(wish, json_of(body) if body else {})


def answered(endpoint: Endpoint, refusals: Refusals) -> Endpoint:
    """Every way in which it can end that is no success, in a sentence that quotes nothing of the request."""

    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ValueError as error:
            return problem(HTTPStatus.BAD_REQUEST, "invalid_request", str(error))
        except TooLarge as error:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", str(error))
        except StoreUnavailable as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.reason, str(error))
        except tuple(refusals) as error:
            status, reason = next(told for kind, told in refusals.items() if isinstance(error, kind))
            return problem(status, reason, str(error))

    return told

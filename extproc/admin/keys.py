"""API keys over the admin address: listed, made, replaced and ended by the bearer of the admin token.

A new key is in the answer that makes it, and nowhere else: not in a log, not in an error, not in a second answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.problems import problem
from extproc.config.settings import Settings
from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Events
from extproc.core.strict_json import loads_strictly
from extproc.stores.key_changes import KeyConflict, UnknownKey
from extproc.stores.key_entry import KeyEntry
from extproc.stores.key_keeper import KeyKeeper, KeyWish, NewKey, RotationWish, entry_told, read_wish

MAX_BODY: Final = 64 * 1024  # a consumer with a hundred scopes and groups of the longest names
CHANGED: Final = "keys_changed"
NO_STORE: Final = "this gateway names no store of keys: write sidecar: {stores: {keys: file:keys.yaml}}"
SECRET: Final = {"cache-control": "no-store"}
Guard = Callable[[Callable[[Request], Awaitable[Response]]], Callable[[Request], Awaitable[Response]]]
W = TypeVar("W", bound=Settings)


class TooLarge(Exception):
    """A body that nobody needs."""


def key_routes(keeper: KeyKeeper | None, events: Events, guard: Guard) -> list[Route]:
    """`guard` lets nobody through but the bearer of the admin token."""
    keys = _Keys(keeper, events)
    rotate, one = "/keys/{key}/rotate", "/keys/{key}"
    return [
        Route("/keys", guard(answered(keys.listed)), methods=["GET"]),
        Route("/keys", guard(answered(keys.create)), methods=["POST"]),
        Route(rotate, guard(answered(keys.rotate)), methods=["POST"]),
        Route(one, guard(answered(keys.revoke)), methods=["DELETE"]),
    ]


class _Keys:
    def __init__(self, keeper: KeyKeeper | None, events: Events) -> None:
        self._given = keeper
        self._events = events

    @property
    def _keeper(self) -> KeyKeeper:
        if self._given is None:
            raise KeyConflict(NO_STORE)
        return self._given

    async def listed(self, request: Request) -> Response:
        return JSONResponse({"keys": [entry_told(entry) for entry in await self._keeper.entries()]}, headers=SECRET)

    async def create(self, request: Request) -> Response:
        made = await self._keeper.create(await wish_of(KeyWish, request))
        self._tell("created", made.entry)
        return _told(made)

    async def rotate(self, request: Request) -> Response:
        made = await self._keeper.rotate(request.path_params["key"], await wish_of(RotationWish, request))
        self._tell("rotated", made.entry, replaces=made.replaced.id if made.replaced else "")
        return _told(made)

    async def revoke(self, request: Request) -> Response:
        entry = await self._keeper.revoke(request.path_params["key"])
        self._tell("revoked", entry)
        return JSONResponse({"revoked": entry_told(entry)}, headers=SECRET)

    def _tell(self, what: str, entry: KeyEntry, **more: str) -> None:
        self._events.event(CHANGED, who="admin", what=what, id=entry.id, consumer=entry.consumer, **more)


def _told(made: NewKey) -> Response:
    return JSONResponse(made.told(), HTTPStatus.CREATED, headers=SECRET)


async def wish_of(model: type[W], request: Request) -> W:
    """What the body asks for; none asks for nothing. Raises ValueError, and TooLarge before it is read whole."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge
    return read_wish(model, _json(body) if body else {})


def _json(body: bytes) -> object:
    try:
        return loads_strictly(body)
    except ValueError:  # what it says quotes the body
        raise ValueError("the body is no JSON, or such as two readers understand differently") from None


def answered(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Every way in which it can end that is no success, in a sentence that quotes nothing of the request."""

    async def told(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ValueError as error:
            return problem(HTTPStatus.BAD_REQUEST, "invalid_request", str(error))
        except TooLarge:
            said = f"a body has at most {MAX_BODY} bytes"
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", said)
        except UnknownKey as error:
            return problem(HTTPStatus.NOT_FOUND, "unknown_key", str(error))
        except KeyConflict as error:
            return problem(HTTPStatus.CONFLICT, "key_conflict", str(error))
        except StoreUnavailable as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, error.reason, str(error))

    return told

"""API keys over the admin address: listed, made, replaced and ended by the bearer of the admin token.

A new key is in the answer that makes it, and nowhere else: not in a log, not in an error, not in a second answer.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from extproc.admin.asking import SECRET, Guard, Refusals, answered, wish_of
from extproc.core.ports import Events
from extproc.stores.key_changes import KeyConflict, UnknownKey
from extproc.stores.key_entry import KeyEntry
from extproc.stores.key_keeper import KeyKeeper, KeyWish, NewKey, RotationWish, entry_told

MAX_BODY: Final = 64 * 1024  # a consumer with a hundred scopes and groups of the longest names
CHANGED: Final = "keys_changed"
NO_STORE: Final = "this gateway names no store of keys: write sidecar: {stores: {keys: file:keys.yaml}}"
REFUSALS: Final[Refusals] = {
    UnknownKey: (HTTPStatus.NOT_FOUND, "unknown_key"),
    KeyConflict: (HTTPStatus.CONFLICT, "key_conflict"),
}


def key_routes(keeper: KeyKeeper | None, events: Events, guard: Guard) -> list[Route]:
    """`guard` lets nobody through but the bearer of the admin token."""
    keys = _Keys(keeper, events)
    rotate, one = "/keys/{key}/rotate", "/keys/{key}"
    return [
        Route("/keys", guard(answered(keys.listed, REFUSALS)), methods=["GET"]),
        Route("/keys", guard(answered(keys.create, REFUSALS)), methods=["POST"]),
        Route(rotate, guard(answered(keys.rotate, REFUSALS)), methods=["POST"]),
        Route(one, guard(answered(keys.revoke, REFUSALS)), methods=["DELETE"]),
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
        made = await self._keeper.create(await wish_of(KeyWish, request, MAX_BODY))
        self._tell("created", made.entry)
        return _told(made)

    async def rotate(self, request: Request) -> Response:
        made = await self._keeper.rotate(request.path_params["key"], await wish_of(RotationWish, request, MAX_BODY))
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

"""The keys of a store, for a command that does one thing to them and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from extproc.app.clock import SystemClock
from extproc.app.key_store import open_key_ledger
from extproc.app.observing import Unheard
from extproc.stores.key_keeper import KeyKeeper, KeyWish, RotationWish, entry_told

T = TypeVar("T")


class StoreKeys:
    """Every method raises StoreUnavailable, UnknownKey or KeyConflict with a sentence."""

    def __init__(self, located: str) -> None:
        self._located = located

    def entries(self) -> list[dict[str, Any]]:
        return [entry_told(entry) for entry in self._run(lambda keeper: keeper.entries())]

    def create(self, wish: KeyWish) -> dict[str, Any]:
        return self._run(lambda keeper: keeper.create(wish)).told()

    def rotate(self, key: str, wish: RotationWish) -> dict[str, Any]:
        return self._run(lambda keeper: keeper.rotate(key, wish)).told()

    def revoke(self, key: str) -> dict[str, Any]:
        return entry_told(self._run(lambda keeper: keeper.revoke(key)))

    def _run(self, ask: Callable[[KeyKeeper], Awaitable[T]]) -> T:
        async def asked() -> T:
            ledger = open_key_ledger(self._located, SystemClock(), Unheard())
            try:
                return await ask(KeyKeeper(ledger, SystemClock()))
            finally:
                await ledger.close()

        return asyncio.run(asked())

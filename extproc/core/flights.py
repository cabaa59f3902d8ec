"""Of those who ask the same at the same time, one asks and the others wait for what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from extproc.core.errors import CouldNotDecide, StoreUnavailable

T = TypeVar("T")


class Flights(Generic[T]):
    """One call in flight per key, and at most `most` of them. A call goes on when whoever began it has gone: others may
    wait for it, and its answer is worth keeping. So what is called must end by itself."""

    def __init__(self, most: int, what: str, full: type[CouldNotDecide] = StoreUnavailable) -> None:
        """`what` is flown, in the plural, for the operator; `full` is raised where there is no room for another."""
        self._most = most
        self._what = what
        self._full = full
        self._flying: dict[bytes, asyncio.Future[T]] = {}

    def __len__(self) -> int:
        return len(self._flying)

    async def join(self, key: bytes, begin: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What the call in flight answers or raises; where there is none, `begin` makes one. Raises `full`."""
        flight = self._flying.get(key)
        if flight is None:
            if len(self._flying) >= self._most:
                raise self._full(f"{self._most} {self._what} are under way already")
            flight = self._flying[key] = asyncio.ensure_future(begin())
            flight.add_done_callback(lambda landed: self._land(key, landed))
        return await asyncio.shield(flight)

    def _land(self, key: bytes, landed: asyncio.Future[T]) -> None:
        del self._flying[key]
        if not landed.cancelled():
            landed.exception()  # seen, whether or not anybody still waits

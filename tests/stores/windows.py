"""What the contract of calendar counters is tested with. A new store joins by one entry in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from extproc.core.ports import WindowCounters
from extproc.core.windows import Addition, Unit
from extproc.stores.window_memory import MemoryWindows
from extproc.testing import FakeClock

Opened = Callable[[FakeClock], AbstractAsyncContextManager[WindowCounters]]


@asynccontextmanager
async def memory(clock: FakeClock) -> AsyncIterator[WindowCounters]:
    yield MemoryWindows(clock)


STORES: Final[Mapping[str, Opened]] = {"memory": memory}


def one(*key: str, hits: int = 1, unit: Unit = Unit.YEAR) -> Addition:
    return Addition(key or ("d", "a", "b"), unit, hits)


async def before(store: WindowCounters, *additions: Addition) -> tuple[int, ...]:
    return (await store.add(additions)).before

"""What the contract of calendar counters is tested with. A new store joins by one entry in STORES."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from extproc.core.ports import WindowCounters
from extproc.core.windows import Addition, Unit
from extproc.stores.redis_connection import PATIENT, RedisConnection
from extproc.stores.window_memory import MemoryWindows
from extproc.stores.window_redis import RedisWindows
from extproc.testing import FakeClock
from tests.redis_servers import RedisServer
from tests.stores.key_stores import FakeEvents

Opened = Callable[[Path], AbstractAsyncContextManager[WindowCounters]]


@asynccontextmanager
async def _memory(folder: Path) -> AsyncIterator[WindowCounters]:
    yield MemoryWindows(FakeClock())


@asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[WindowCounters]:
    with RedisServer(folder) as server:
        store = RedisWindows(RedisConnection(server.url, "limits", FakeEvents(), PATIENT))
        yield store
        await store.close()


STORES: Final[Mapping[str, Opened]] = {"memory": _memory, "redis": _redis}


def one(*key: str, hits: int = 1, unit: Unit = Unit.YEAR) -> Addition:
    return Addition(key or ("d", "a", "b"), unit, hits)


async def before(store: WindowCounters, *additions: Addition) -> tuple[int, ...]:
    return (await store.add(additions)).before

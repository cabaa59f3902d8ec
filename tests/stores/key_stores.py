"""What the contract of key stores is tested with. A new store joins by one entry in STORES."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from extproc.app.key_store import open_key_store
from extproc.core.api_key import digest, spell
from extproc.core.ports import KeyStore
from extproc.stores.key_changes import KeyLedger
from extproc.stores.key_entry import KeyEntry
from extproc.stores.keys import MemoryKeys
from extproc.testing import FakeClock
from tests.redis_servers import RedisServer

EMPTY: Final = "keys: []\n"


class Store(KeyStore, KeyLedger, Protocol):
    """What all of them are."""


@dataclass(slots=True)
class FakeEvents:
    """Keeps what happened, in order."""

    told: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def event(self, name: str, **fields: object) -> None:
        self.told.append((name, fields))
        self.more.set()

    async def heard(self, name: str) -> None:
        """Until it has happened."""
        async with asyncio.timeout(10):
            while name not in self.names:
                self.more.clear()
                await self.more.wait()

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


@asynccontextmanager
async def _memory(folder: Path, clock: FakeClock) -> AsyncIterator[Store]:
    yield MemoryKeys(clock)


@asynccontextmanager
async def _file(folder: Path, clock: FakeClock) -> AsyncIterator[Store]:
    (folder / "keys.yaml").write_text(EMPTY)
    yield open_key_store(str(folder / "keys.yaml"), clock, FakeEvents())


@asynccontextmanager
async def _redis(folder: Path, clock: FakeClock) -> AsyncIterator[Store]:
    with RedisServer(folder) as server:
        store = open_key_store(server.url, clock, FakeEvents())
        try:
            yield store
        finally:
            await store.close()


STORES: Final[Mapping[str, Callable[[Path, FakeClock], AbstractAsyncContextManager[Store]]]] = {
    "memory": _memory,
    "file": _file,
    "redis": _redis,
}


def key_of(number: int) -> str:
    return spell(number.to_bytes(20, "big"))


def entry_of(number: int, **fields: object) -> KeyEntry:
    return KeyEntry.model_validate({"sha256": digest(key_of(number)), "consumer": f"consumer-{number}", **fields})


def ids(entries: Sequence[KeyEntry]) -> list[str]:
    return sorted(entry.id for entry in entries)

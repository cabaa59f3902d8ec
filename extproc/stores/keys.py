"""API keys that are known: found by digest, and each for as long as it is good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from extproc.core.message import Consumer
from extproc.core.ports import Clock
from extproc.stores.key_changes import Entries, Rotate, Rotation, added, found, removed, rotated
from extproc.stores.key_entry import KeyEntry

NEVER = float("inf")


class Known(NamedTuple):
    """Whose key it is, and the second from which on it is worth nothing."""

    consumer: Consumer
    expires: float

    @classmethod
    def of(cls, entry: KeyEntry) -> Known:
        return cls(entry.as_consumer(), entry.expires.timestamp() if entry.expires else NEVER)


class KnownKeys:
    """Finding a key is one dictionary look-up by digest: nothing about a wrong key shows in the time it takes."""

    def __init__(self, entries: Iterable[KeyEntry] = ()) -> None:
        """Raises ValueError where two keys cannot be told apart."""
        self.entries: Entries = tuple(entries)
        self._known = {entry.sha256: Known.of(entry) for entry in self.entries}
        if len(self._known) != len(self.entries):
            raise ValueError("one digest stands twice")
        if len({entry.id for entry in self.entries}) != len(self.entries):
            raise ValueError("two digests begin alike: their keys have the same id")

    def consumer_of(self, digest: str, now: float) -> Consumer | None:
        known = self._known.get(digest)
        return known.consumer if known is not None and now < known.expires else None


class MemoryKeys:
    """Keys in this process alone."""

    def __init__(self, clock: Clock, entries: Iterable[KeyEntry] = ()) -> None:
        self._clock = clock
        self._keys = KnownKeys(entries)

    async def consumer_of(self, digest: str) -> Consumer | None:
        return self._keys.consumer_of(digest, self._clock.now())

    async def entries(self) -> Sequence[KeyEntry]:
        return self._keys.entries

    async def add(self, entry: KeyEntry) -> None:
        self._keys = KnownKeys(added(self._keys.entries, entry))

    async def rotate(self, key: str, rotate: Rotate) -> Rotation:
        rotation = rotate(found(self._keys.entries, key))
        self._keys = KnownKeys(rotated(self._keys.entries, rotation))
        return rotation

    async def remove(self, key: str) -> KeyEntry:
        entry = found(self._keys.entries, key)
        self._keys = KnownKeys(removed(self._keys.entries, entry))
        return entry

    async def close(self) -> None:
        """There is nothing to close."""


class NoKeys:
    """Where no store is named: every key is unknown."""

    async def consumer_of(self, digest: str) -> Consumer | None:
        return None

"""What can be done to the keys of a store, and what it leaves behind. A key is named by its id, never by its text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from extproc.stores.key_entry import KeyEntry

Entries = tuple[KeyEntry, ...]
Change = Callable[[Entries], Entries]


class UnknownKey(Exception):
    """There is no key of that id."""


class KeyConflict(Exception):
    """The change does not fit what is there: an id that is taken, a key that has ended."""


class Rotation(NamedTuple):
    """The old key as it goes on for a while, and the one that takes its place."""

    old: KeyEntry
    new: KeyEntry


Rotate = Callable[[KeyEntry], Rotation]


class KeyLedger(Protocol):
    """A store whose keys can be listed and changed. Each change is made whole or not at all, and none undoes another
    that was made at the same time: a key that is revoked while it is rotated stays revoked.

    Every method raises StoreUnavailable where the store cannot be asked.
    """

    async def entries(self) -> Sequence[KeyEntry]:
        """Every key, those included that have ended."""

    async def add(self, entry: KeyEntry) -> None:
        """Raises KeyConflict where its id is taken."""

    async def rotate(self, key: str, rotate: Rotate) -> Rotation:
        """Raises UnknownKey, and whatever `rotate` raises."""

    async def remove(self, key: str) -> KeyEntry:
        """The key that was there, which is worth nothing from now on. Raises UnknownKey."""

    async def close(self) -> None:
        """What was opened, if anything was."""


def added(entries: Entries, entry: KeyEntry) -> Entries:
    if any(one.id == entry.id for one in entries):
        raise KeyConflict(f"there is a key {entry.id} already")
    return (*entries, entry)


def rotated(entries: Entries, rotation: Rotation) -> Entries:
    kept = tuple(rotation.old if one.id == rotation.old.id else one for one in entries)
    return added(kept, rotation.new)


def removed(entries: Entries, entry: KeyEntry) -> Entries:
    return tuple(one for one in entries if one.id != entry.id)


def found(entries: Entries, key: str) -> KeyEntry:
    entry = next((one for one in entries if one.id == key), None)
    if entry is None:
        raise unknown(key)
    return entry


def unknown(key: str) -> UnknownKey:
    """Told without what was asked for where that is no id: it may be the key itself."""
    shown = f" {key}" if len(key) <= LONGEST_ID else ""
    return UnknownKey(f"there is no key{shown}")


LONGEST_ID = 16

"""API keys from a file that may change while the gateway serves."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import NANOSECONDS
from extproc.core.message import Consumer
from extproc.core.ports import Clock, Events
from extproc.stores.key_changes import Change, Entries, Rotate, Rotation, added, found, removed, rotated
from extproc.stores.key_entry import KeyEntry
from extproc.stores.key_file import KeyFile
from extproc.stores.keys import KnownKeys

LOOK_EVERY: Final = 0.25  # seconds: with the time to read the file, a revoked key is refused within one
TICK: Final = 0.05  # seconds; file systems tell no two changes apart that are nearer than a few milliseconds
KEYS_READ: Final = "keys_read"
KEYS_UNREADABLE: Final = "keys_unreadable"


class FileLedger:
    """The keys of a file, for whoever lists and changes them. A file that is not there yet has none."""

    def __init__(self, file: Path) -> None:
        self._file = KeyFile(file)

    async def entries(self) -> Sequence[KeyEntry]:
        return await asyncio.to_thread(self._entries)

    async def add(self, entry: KeyEntry) -> None:
        await self._change(lambda entries: added(entries, entry))

    async def rotate(self, key: str, rotate: Rotate) -> Rotation:
        made: list[Rotation] = []

        def change(entries: Entries) -> Entries:
            made.append(rotate(found(entries, key)))
            return rotated(entries, made[0])

        await self._change(change)
        return made[0]

    async def remove(self, key: str) -> KeyEntry:
        gone: list[KeyEntry] = []

        def change(entries: Entries) -> Entries:
            gone.append(found(entries, key))
            return removed(entries, gone[0])

        await self._change(change)
        return gone[0]

    async def close(self) -> None:
        """A file is open only while it is read or written."""

    async def _change(self, change: Change) -> None:
        try:
            await asyncio.to_thread(self._file.change, change)
        except ValueError as error:
            raise StoreUnavailable(str(error)) from None

    def _entries(self) -> Sequence[KeyEntry]:
        try:
            return self._file.parse(self._file.read()).entries if self._file.path.exists() else ()
        except ValueError as error:
            raise StoreUnavailable(str(error)) from None


class Seen(NamedTuple):
    """What tells one state of a file from another, links followed: a rename gives it another inode."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


class FileKeys(FileLedger):
    """The keys of a file as it was when it was last good."""

    def __init__(self, file: Path, clock: Clock, events: Events) -> None:
        """Raises ValueError with a sentence that quotes no entry."""
        super().__init__(file)
        self._clock = clock
        self._events = events
        self._looking = asyncio.Lock()
        self._seen = self._settled(self._stat())
        content = self._file.read()
        self._read = hashlib.sha256(content).digest()
        self._keys = self._file.parse(content)
        self._complaint = ""

    async def consumer_of(self, digest: str) -> Consumer | None:
        return self._keys.consumer_of(digest, self._clock.now())

    def ready(self) -> bool:
        return True

    async def tend(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.look()

    async def look(self) -> None:
        """See whether the file has changed. A bad one changes nothing, and is told once."""
        async with self._looking:
            seen = await asyncio.to_thread(self._stat)
            if seen is not None and seen == self._seen:
                return
            # Looked at before it is read: what is written meanwhile is another state, and is read next time.
            await self._read_again()
            self._seen = self._settled(seen)

    async def _change(self, change: Change) -> None:
        """In force when it is told to whoever asked for it."""
        await super()._change(change)
        await self.look()

    async def _read_again(self) -> None:
        try:
            keys = await asyncio.to_thread(self._changed)
        except ValueError as error:
            self._complain(str(error))
            return
        if keys is not None:
            self._keys = keys
            self._complaint = ""
            self._events.event(KEYS_READ, keys=len(keys.entries))

    def _changed(self) -> KnownKeys | None:
        """The keys of a file whose text is not the one that was read last."""
        content = self._file.read()
        read = hashlib.sha256(content).digest()
        if read == self._read and not self._complaint:
            return None
        keys = self._file.parse(content)
        self._read = read
        return keys

    def _complain(self, sentence: str) -> None:
        if sentence != self._complaint:
            self._complaint = sentence
            self._events.event(KEYS_UNREADABLE, error=sentence, kept=len(self._keys.entries))

    def _stat(self) -> Seen | None:
        try:
            found = self._file.path.stat()
        except OSError:
            return None
        return Seen(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _settled(self, seen: Seen | None) -> Seen | None:
        """None where one more change would show no trace: a file that young is read again."""
        young = seen is None or abs(self._clock.now() - seen.changed / NANOSECONDS) < TICK
        return None if young else seen

"""Quotas and budgets on disk: a month's quota must not begin anew because the sidecar did.

What changed is written once a second, in a thread, and once more at the end. A process that is killed loses what it had
not written: a second of counting at most, which the next one says. Whatever cannot be written is kept and tried again.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from extproc.core.calendar import Window
from extproc.core.errors import StoreUnavailable
from extproc.core.judging import Used
from extproc.core.ports import Clock, Events
from extproc.stores.memory import Key, MemoryCounters

FLUSH_EVERY: Final = 1.0
TIDY_EVERY: Final = 600  # flushes: windows that are over are in nobody's way
LARGEST: Final = 2**63 - 1  # SQLite's own whole numbers
PRIVATE: Final = 0o600  # who used how much is nobody else's business
TABLES: Final = """
CREATE TABLE IF NOT EXISTS used (
    key BLOB PRIMARY KEY, "start" INTEGER NOT NULL, "end" INTEGER NOT NULL, amount INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writer (one INTEGER PRIMARY KEY CHECK (one = 1), running INTEGER NOT NULL);
"""
UNCLEAN: Final = "quotas_not_all_saved"
UNSAVED: Final = "quotas_cannot_be_saved"
SAVED_AGAIN: Final = "quotas_saved_again"


class QuotaFile:
    """One for each process, and one process for each file: the sidecar's socket sees to that."""

    def __init__(self, file: Path, counters: MemoryCounters, clock: Clock, events: Events) -> None:
        """Reads what is there into the counters.

        Raises:
            ValueError: the file cannot be used.
        """
        self._counters = counters
        self._clock = clock
        self._events = events
        self._failing = False
        self._unclean = False
        self._flushes = 0
        try:
            file.touch(PRIVATE)
            self._database = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            self._open()
        except (OSError, sqlite3.Error, StoreUnavailable) as error:
            raise ValueError(f"quotas cannot be kept in {file}: {error}") from None

    def ready(self) -> bool:
        return True

    async def tend(self) -> None:
        """Runs until it is cancelled, and then writes what is left: the loop has nothing else to do by then."""
        if self._unclean:
            self._events.event(UNCLEAN, seconds=FLUSH_EVERY)
        self._database.execute("INSERT OR REPLACE INTO writer VALUES (1, 1)")
        try:
            while True:
                await asyncio.sleep(FLUSH_EVERY)
                await self.flush()
        finally:
            self._close()

    async def flush(self) -> None:
        self._flushes += 1
        changed = self._counters.used()
        tidy = self._flushes % TIDY_EVERY == 0
        if changed or tidy:
            await asyncio.shield(asyncio.to_thread(self._write, changed, tidy=tidy))

    def _open(self) -> None:
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(TABLES)
        self._delete_old()
        rows = self._database.execute('SELECT key, "start", "end", amount FROM used')
        self._counters.restore(
            {
                bytes(key).decode("utf-8", "surrogatepass"): Used(Window(start, end), amount)
                for key, start, end, amount in rows
            }
        )
        running = self._database.execute("SELECT running FROM writer").fetchone()
        self._unclean = running == (1,)

    def _write(self, changed: Mapping[Key, Used], *, tidy: bool = False) -> None:
        rows = [
            (key.encode("utf-8", "surrogatepass"), *used.window, min(used.amount, LARGEST))
            for key, used in changed.items()
        ]
        try:
            self._database.execute("BEGIN IMMEDIATE")
            with self._database:
                self._database.executemany("INSERT OR REPLACE INTO used VALUES (?, ?, ?, ?)", rows)
                if tidy:
                    self._delete_old()
        except sqlite3.Error as error:
            self._counters.unsaved(changed)
            self._now(failing=True, error=type(error).__name__)
        else:
            self._now(failing=False)

    def _delete_old(self) -> None:
        self._database.execute('DELETE FROM used WHERE "end" <= ?', (int(self._clock.now()),))

    def _now(self, *, failing: bool, **said: object) -> None:
        if failing != self._failing:
            self._failing = failing
            self._events.event(UNSAVED if failing else SAVED_AGAIN, **said)

    def _close(self) -> None:
        self._write(self._counters.used())
        if not self._failing:
            self._database.execute("INSERT OR REPLACE INTO writer VALUES (1, 0)")
        self._database.close()

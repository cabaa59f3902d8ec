"""Usage on disk: a table beside the quotas, in one file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Clock
from extproc.core.usage import HOUR, Sums, Usage, Used

PRIVATE: Final = 0o600
LARGEST: Final = 2**62  # half of SQLite's own whole numbers: a sum of two is one
PATIENCE: Final = 5.0  # seconds; the quotas are written to the same file
TABLE: Final = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER, consumer TEXT, tier TEXT, route TEXT, status TEXT,
    requests INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, tokens INTEGER NOT NULL,
    PRIMARY KEY (hour, consumer, tier, route, status)
) WITHOUT ROWID
"""
ADD: Final = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    requests = requests + excluded.requests, bytes_in = bytes_in + excluded.bytes_in,
    bytes_out = bytes_out + excluded.bytes_out, tokens = tokens + excluded.tokens
"""


class UsageFile:
    """`keep` is for how many seconds an hour's sums are kept."""

    def __init__(self, file: Path, keep: int, clock: Clock) -> None:
        self._file = file
        self._keep = keep
        self._clock = clock
        self._tidied = 0

    async def add(self, sums: Sums) -> None:
        """In a thread, and whole even where whoever asked is gone."""
        await asyncio.shield(asyncio.to_thread(self._add, sums))

    async def since(self, moment: int) -> Sums:
        return await asyncio.to_thread(self._since, moment)

    def _add(self, sums: Sums) -> None:
        rows = [
            (used.hour, *map(_text, used[1:]), *(min(number, LARGEST) for number in usage))
            for used, usage in sums.items()
        ]
        now = int(self._clock.now())
        with self._opened(writing=True) as database, database:
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=NORMAL")
            database.execute(TABLE)
            database.executemany(ADD, rows)
            if now - self._tidied >= HOUR:
                database.execute("DELETE FROM usage WHERE hour < ?", (now - self._keep,))
                self._tidied = now

    def _since(self, moment: int) -> Sums:
        if not self._file.exists():
            return {}
        with self._opened(writing=False) as database:
            if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'usage'").fetchone():
                return {}
            rows = database.execute("SELECT * FROM usage WHERE hour >= ?", (moment - moment % HOUR,)).fetchall()
        return {Used(*row[:5]): Usage(*row[5:]) for row in rows}

    @contextlib.contextmanager
    def _opened(self, *, writing: bool) -> Iterator[sqlite3.Connection]:
        try:
            if writing:
                self._file.touch(PRIVATE)
            with contextlib.closing(sqlite3.connect(self._file, timeout=PATIENCE)) as database:
                yield database
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"usage: {self._file} cannot be used ({type(error).__name__})") from None


def _text(value: str) -> str:
    """A lone surrogate, which SQLite cannot spell, is written by its number."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")

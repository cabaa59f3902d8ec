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
NAMES: Final = len(Used._fields)
LARGEST: Final = 2**62  # half of SQLite's own whole numbers: a sum of two is one
PATIENCE: Final = 5.0  # seconds; the quotas are written to the same file
TABLE: Final = """
CREATE TABLE IF NOT EXISTS usage (
    hour INTEGER, consumer TEXT, tier TEXT, route TEXT, status TEXT, model TEXT, version TEXT,
    requests INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, tokens INTEGER NOT NULL,
    PRIMARY KEY (hour, consumer, tier, route, status, model, version)
) WITHOUT ROWID
"""
# A table of before there were models; what is read of either has the same columns.
COLUMNS: Final = "hour, consumer, tier, route, status, {model}, requests, bytes_in, bytes_out, tokens"
MODEL: Final = "model, version"
NO_MODEL: Final = "'', ''"
OLD: Final = "usage_without_models"
ADD: Final = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
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
            database.execute("BEGIN IMMEDIATE")  # sqlite3 itself would begin behind the changes of a table
            _make_table(database)
            database.executemany(ADD, rows)
            if now - self._tidied >= HOUR:
                database.execute("DELETE FROM usage WHERE hour < ?", (now - self._keep,))
                self._tidied = now

    def _since(self, moment: int) -> Sums:
        if not self._file.exists():
            return {}
        with self._opened(writing=False) as database:
            known = _columns(database)
            if not known:
                return {}
            columns = COLUMNS.format(model=MODEL if "model" in known else NO_MODEL)
            wanted = f"SELECT {columns} FROM usage WHERE hour >= ?"  # noqa: S608 - of our own words
            rows = database.execute(wanted, (moment - moment % HOUR,)).fetchall()
        return {Used(*row[:NAMES]): Usage(*row[NAMES:]) for row in rows}

    @contextlib.contextmanager
    def _opened(self, *, writing: bool) -> Iterator[sqlite3.Connection]:
        try:
            if writing:
                self._file.touch(PRIVATE)
            with contextlib.closing(sqlite3.connect(self._file, timeout=PATIENCE)) as database:
                yield database
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"usage: {self._file} cannot be used ({type(error).__name__})") from None


def _columns(database: sqlite3.Connection) -> frozenset[str]:
    """None where there is no table."""
    return frozenset(name for (name,) in database.execute("SELECT name FROM pragma_table_info('usage')"))


def _make_table(database: sqlite3.Connection) -> None:
    """One that another version of ours left is taken over, in the same transaction as what is added."""
    known = _columns(database)
    if not known or "model" in known:
        database.execute(TABLE)
        return
    database.execute(f"ALTER TABLE usage RENAME TO {OLD}")
    database.execute(TABLE)
    columns = COLUMNS.format(model=NO_MODEL)
    database.execute(f"INSERT INTO usage SELECT {columns} FROM {OLD}")  # noqa: S608 - of our own words
    database.execute(f"DROP TABLE {OLD}")


def _text(value: str) -> str:
    """A lone surrogate, which SQLite cannot spell, is written by its number."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")

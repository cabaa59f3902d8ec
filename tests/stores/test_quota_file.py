"""Quotas outlive the process: all of them at a proper end, all but a second's counting at a bad one."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from extproc.core.calendar import Unit
from extproc.core.limits import Kind
from extproc.stores.memory import MemoryCounters
from extproc.stores.quota_file import SAVED_AGAIN, UNCLEAN, UNSAVED, QuotaFile
from extproc.testing import FakeClock
from tests.stores.counters import FIVE_A_MINUTE, allowed, charge, hit, quota, remaining, settlement, slots

MONTH = quota(10, Unit.MONTH)
TOKENS = quota(100, Unit.DAY, Kind.BUDGET, "tokens")


class Told:
    """The names of the events, in order."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def event(self, name: str, **fields: object) -> None:
        self.names.append(name)


class Kept:
    """A store with its file, as one process after the other has it."""

    def __init__(self, file: Path, clock: FakeClock) -> None:
        self.file = file
        self.clock = clock
        self.told: list[str] = []
        self.open()

    def open(self) -> None:
        self.store = MemoryCounters(self.clock)
        self.quotas = QuotaFile(self.file, self.store, self.clock, Told(self.told))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[MemoryCounters]:
        self.open()
        task = asyncio.ensure_future(self.quotas.tend())
        await asyncio.sleep(0)
        yield self.store
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.fixture
def kept(tmp_path: Path, clock: FakeClock) -> Kept:
    return Kept(tmp_path / "quotas.sqlite", clock)


async def test_what_was_used_is_there_after_a_proper_end(kept: Kept) -> None:
    async with kept.serving() as store:
        assert await allowed(store, hit(MONTH, count=7), hit(TOKENS, count=60), hit(FIVE_A_MINUTE), key="a")
        await store.settle([settlement(TOKENS, "a", 25)])
    async with kept.serving() as store:
        assert [await remaining(store, of) for of in (MONTH, TOKENS, FIVE_A_MINUTE)] == [3, 75, 5]
    assert kept.told == []


async def test_a_process_that_was_killed_loses_what_it_had_not_written_and_the_next_one_says_so(kept: Kept) -> None:
    async with kept.serving() as store:
        assert await allowed(store, hit(MONTH, count=7))
        await kept.quotas.flush()
        assert await allowed(store, hit(MONTH, count=2))
        killed = MemoryCounters(kept.clock)
        tending = asyncio.ensure_future(QuotaFile(kept.file, killed, kept.clock, Told(kept.told)).tend())
        await asyncio.sleep(0)
        assert await remaining(killed, MONTH) == 3
        assert kept.told == [UNCLEAN]
        tending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await tending


async def test_only_what_changed_is_written(kept: Kept) -> None:
    async with kept.serving() as store:
        assert await allowed(store, hit(MONTH, "a"), hit(MONTH, "b"), hit(slots()), key="a")
        await kept.quotas.flush()
        assert await allowed(store, hit(MONTH, "b"))
        assert list(store.used()) == [hit(MONTH, "b").counter.key]
        store.unsaved([hit(MONTH, "b").counter.key])


async def test_windows_that_are_over_are_not_read(kept: Kept, clock: FakeClock) -> None:
    async with kept.serving() as store:
        assert await allowed(store, hit(MONTH), hit(quota(name="minute")))
    clock.advance(3_600)
    async with kept.serving() as store:
        assert len(store) == 1
        assert await remaining(store, MONTH) == 9


async def test_what_cannot_be_written_is_kept_told_once_and_written_later(kept: Kept) -> None:
    async with kept.serving() as store:
        assert await allowed(store, hit(MONTH, count=7))
        other = sqlite3.connect(kept.file, isolation_level=None)
        kept.quotas._database.execute("PRAGMA busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            await kept.quotas.flush()
        assert kept.told == [UNSAVED]
        other.execute("ROLLBACK")
        other.close()
        await kept.quotas.flush()
        assert kept.told == [UNSAVED, SAVED_AGAIN]
    async with kept.serving() as store:
        assert await remaining(store, MONTH) == 3


@pytest.mark.parametrize("subject", ["k" * 10_240, "a\nb", "\ud800", "é"])
async def test_whoever_is_counted_is_found_again(kept: Kept, subject: str) -> None:
    async with kept.serving() as store:
        assert (await store.hit(charge(hit(MONTH, subject))))[0].allowed
    async with kept.serving() as store:
        assert await remaining(store, MONTH, subject) == 9


async def test_only_the_owner_reads_who_used_how_much(kept: Kept) -> None:
    async with kept.serving():
        assert stat.S_IMODE(kept.file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["text", "folder", "none/quotas.sqlite"])
def test_a_file_that_cannot_be_used_is_a_problem_of_the_configuration(
    tmp_path: Path, clock: FakeClock, name: str
) -> None:
    (tmp_path / "text").write_text("this is no database, however long one looks at it" * 100)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="quotas cannot be kept in"):
        QuotaFile(tmp_path / name, MemoryCounters(clock), clock, Told([]))

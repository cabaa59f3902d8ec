"""Calendar counters in memory end with their window, and are bounded without a fresh start for anybody."""

from __future__ import annotations

import tracemalloc

import pytest

from extproc.core.errors import StoreUnavailable
from extproc.core.windows import Unit
from extproc.stores import window_memory
from extproc.stores.window_memory import MemoryWindows
from extproc.testing import FakeClock
from tests.stores.windows import before, one

DAWN = 1_790_000_040.0  # a minute begins


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(seconds=DAWN)


async def test_a_window_ends_at_its_calendar_end_and_not_a_second_sooner(clock: FakeClock) -> None:
    store = MemoryWindows(clock)
    await store.add((one(unit=Unit.MINUTE, hits=5),))
    clock.advance(59.9)
    assert await before(store, one(unit=Unit.MINUTE)) == (5,)
    clock.advance(0.1)
    assert await before(store, one(unit=Unit.MINUTE)) == (0,)


async def test_the_time_is_the_clocks(clock: FakeClock) -> None:
    assert (await MemoryWindows(clock).add((one(),))).now == int(DAWN)


async def test_a_clock_set_back_around_the_end_of_a_window_gives_no_fresh_limit(clock: FakeClock) -> None:
    store = MemoryWindows(clock)
    await store.add((one(unit=Unit.MINUTE, hits=5),))
    clock.advance(-0.5)
    assert await before(store, one(unit=Unit.MINUTE)) == (5,)
    clock.advance(0.5)
    assert await before(store, one(unit=Unit.MINUTE)) == (6,)


@pytest.mark.parametrize("step", [3_600, -3_600])
async def test_a_clock_that_is_set_by_an_hour_counts_on_and_recovers_within_a_window(
    clock: FakeClock, step: float
) -> None:
    store = MemoryWindows(clock)
    await store.add((one(unit=Unit.MINUTE, hits=5),))
    for _ in range(2):
        clock.seconds += step
        assert await before(store, one(unit=Unit.MINUTE, hits=2)) == (0,)
        assert await before(store, one(unit=Unit.MINUTE, hits=2)) == (2,)
        clock.advance(60)
        assert await before(store, one(unit=Unit.MINUTE)) == (0,)


async def test_a_full_store_refuses_a_new_counter_and_keeps_every_old_one(clock: FakeClock) -> None:
    store = MemoryWindows(clock, capacity=3)
    for name in "abc":
        await store.add((one("d", name),))
    with pytest.raises(StoreUnavailable, match="3 counters are in use, there is no room for another"):
        await store.add((one("d", "a"), one("d", "d")))
    assert await before(store, *(one("d", name) for name in "abc")) == (1, 1, 1)
    assert await before(store, one("d", "d", hits=0)) == (0,)  # to look needs no room
    assert len(store) == 3


async def test_a_full_store_forgets_what_has_ended_first(clock: FakeClock) -> None:
    store = MemoryWindows(clock, capacity=3)
    await store.add(
        (one("d", "long", hits=7), one("d", "short", unit=Unit.SECOND), one("d", "other", unit=Unit.SECOND))
    )
    clock.advance(1)
    assert await before(store, one("d", "a"), one("d", "b"), one("d", "long")) == (0, 0, 7)
    assert len(store) == 3


async def test_an_ended_window_is_freed_a_little_at_a_time(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_memory, "FREED", 3)
    store = MemoryWindows(clock)
    for n in range(10):
        await store.add((one("d", str(n), unit=Unit.SECOND),))
    clock.advance(1)
    left = []
    for _ in range(5):
        await store.add((one("d", "x", unit=Unit.SECOND),))
        left.append(len(store))
    assert left == [8, 5, 2, 1, 1]


async def test_a_hot_counter_is_kept_among_any_number_of_cold_ones(clock: FakeClock) -> None:
    store = MemoryWindows(clock, capacity=1_000)
    for n in range(3_000):
        await store.add((one("d", "hot", unit=Unit.HOUR),))
        if n < 999:
            await store.add((one("d", str(n), unit=Unit.HOUR),))
        else:
            with pytest.raises(StoreUnavailable):
                await store.add((one("d", str(n), unit=Unit.HOUR),))
    assert await before(store, one("d", "hot", unit=Unit.HOUR)) == (3_000,)
    assert len(store) == 1_000


async def test_a_million_counters_take_less_than_three_hundred_megabytes(clock: FakeClock) -> None:
    store = MemoryWindows(clock)
    calls = [(one("shop.example", "remote_address", f"192.0.2.{n}", unit=Unit.DAY),) for n in range(20_000)]
    tracemalloc.start()
    try:
        for call in calls:
            await store.add(call)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken / len(calls) * window_memory.CAPACITY < 300_000_000


async def test_a_counter_takes_little_memory_whatever_its_name(clock: FakeClock) -> None:
    store = MemoryWindows(clock)
    for n in range(1_000):
        await store.add((one("d", f"{n}" * 3_000, unit=Unit.HOUR),))
    assert max(len(name) for name in store._tables[Unit.HOUR].held) < 100

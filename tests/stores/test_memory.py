"""Counters in memory are bounded, and being full never gives anybody a fresh start."""

from __future__ import annotations

import pytest

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import Counter
from extproc.stores import memory
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock
from tests.stores.counters import FIVE_A_MINUTE, ONE_A_SECOND, allowed, charge, hit, remaining


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_full_store_refuses_a_new_counter_and_keeps_every_old_one(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=3)
    for name in "abc":
        assert await allowed(store, hit(FIVE_A_MINUTE, name))
    with pytest.raises(StoreUnavailable, match="3 counters are in use, there is no room for another"):
        await store.hit(charge(hit(FIVE_A_MINUTE, "d")))
    assert [await remaining(store, FIVE_A_MINUTE, name) for name in "abc"] == [4, 4, 4]
    assert await allowed(store, hit(FIVE_A_MINUTE, "a"))
    assert len(store) == 3


async def test_a_full_store_charges_all_counters_of_a_call_or_none(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=2)
    assert await allowed(store, hit(FIVE_A_MINUTE, "a"))
    with pytest.raises(StoreUnavailable):
        await store.hit(
            charge(hit(FIVE_A_MINUTE, "a"), hit(FIVE_A_MINUTE, "b"), hit(FIVE_A_MINUTE, "c"), key="stream-1")
        )
    assert await remaining(store, FIVE_A_MINUTE, "a") == 4
    assert len(store) == 1
    assert await allowed(store, hit(FIVE_A_MINUTE, "a"), hit(FIVE_A_MINUTE, "b"), key="stream-1")


async def test_a_charge_that_is_refused_needs_no_room(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=1)
    assert await allowed(store, hit(ONE_A_SECOND))
    assert not await allowed(store, hit(ONE_A_SECOND), hit(FIVE_A_MINUTE, "b"))
    assert await remaining(store, FIVE_A_MINUTE, "b") == 5


async def test_what_has_recovered_makes_room(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=2)
    assert await allowed(store, hit(ONE_A_SECOND, "a"), hit(ONE_A_SECOND, "b"))
    clock.advance(0.999)
    with pytest.raises(StoreUnavailable):
        await store.hit(charge(hit(ONE_A_SECOND, "c")))
    clock.advance(0.001)
    assert await allowed(store, hit(ONE_A_SECOND, "c"))


async def test_what_has_recovered_is_forgotten_behind_a_counter_that_has_not(clock: FakeClock) -> None:
    store = MemoryCounters(clock)
    assert await allowed(store, hit(FIVE_A_MINUTE, "slow"))
    for number in range(7):
        assert await allowed(store, hit(ONE_A_SECOND, str(number)))
    clock.advance(1)
    for _ in range(3):
        assert await allowed(store, hit(FIVE_A_MINUTE, "slow"))
    assert len(store) == 1
    assert await remaining(store, FIVE_A_MINUTE, "slow") == 1


async def test_a_full_store_looks_through_all_its_counters_at_most_once_a_second(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=20)
    for number in range(19):
        assert await allowed(store, hit(FIVE_A_MINUTE, str(number)))
    assert await allowed(store, hit(ONE_A_SECOND, "quick"))
    clock.advance(0.5)
    with pytest.raises(StoreUnavailable):
        await store.hit(charge(hit(ONE_A_SECOND, "new")))
    clock.advance(0.5)  # "quick" has recovered, but the last look is half a second old
    with pytest.raises(StoreUnavailable):
        await store.hit(charge(hit(ONE_A_SECOND, "new")))
    clock.advance(0.5)
    assert await allowed(store, hit(ONE_A_SECOND, "new"))


async def test_the_bound_holds_when_a_counter_of_the_charge_is_itself_forgotten(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=2)
    assert await allowed(store, hit(ONE_A_SECOND, "a"))
    assert await allowed(store, hit(FIVE_A_MINUTE, "b"))
    clock.advance(1)
    with pytest.raises(StoreUnavailable):
        await store.hit(charge(hit(ONE_A_SECOND, "a"), hit(ONE_A_SECOND, "c")))
    assert len(store) <= 2


async def test_counters_that_recover_are_forgotten_as_others_come(clock: FakeClock) -> None:
    store = MemoryCounters(clock)
    for number in range(10_000):
        assert await allowed(store, hit(ONE_A_SECOND, str(number)))
        clock.advance(0.01)
    assert len(store) < 200  # a hundred of them are live at any time


async def test_a_hot_counter_keeps_its_count_among_many_others(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=200)
    for _ in range(5):
        assert await allowed(store, hit(FIVE_A_MINUTE, "hot"))
    for number in range(1_000):
        assert await allowed(store, hit(ONE_A_SECOND, str(number)))
        clock.advance(0.01)
    assert await remaining(store, FIVE_A_MINUTE, "hot") == 0


async def test_looking_stores_nothing(clock: FakeClock) -> None:
    store = MemoryCounters(clock, capacity=1)
    for number in range(100):
        assert await remaining(store, FIVE_A_MINUTE, str(number)) == 5
    assert len(store) == 0


async def test_remembered_answers_are_bounded_in_time(clock: FakeClock) -> None:
    store = MemoryCounters(clock)
    for number in range(100):
        await store.hit(charge(key=f"old-{number}"))
    clock.advance(memory.REMEMBER_FOR / 10**9 + 0.001)
    await store.hit(charge(key="new"))
    assert list(store._answered) == ["new"]


async def test_remembered_answers_are_bounded_in_number(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "REMEMBERED", 10)
    store = MemoryCounters(clock)
    for number in range(100):
        await store.hit(charge(key=f"stream-{number}"))
    assert list(store._answered) == [f"stream-{number}" for number in range(90, 100)]


def test_counters_are_spelled_with_the_length_of_each_part() -> None:
    assert Counter(FIVE_A_MINUTE, ("a", "b_c")).key == "9:tier/free4:tier8:consumer4:rate1:a3:b_c"

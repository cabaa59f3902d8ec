"""Calendar counters, in whichever store: every addition is exact, and each counter is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from extproc.core.ports import WindowCounters
from extproc.core.windows import MOST, Unit
from tests.core.test_counter_keys import APART
from tests.stores.windows import STORES, before, one


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[WindowCounters]:
    async with STORES[request.param](tmp_path) as opened:
        yield opened


async def test_a_counter_says_what_it_held_before(store: WindowCounters) -> None:
    assert [await before(store, one(hits=hits)) for hits in (1, 2, 0, 5, 1)] == [(0,), (1,), (3,), (3,), (8,)]


async def test_counters_of_one_call_are_added_to_in_its_order(store: WindowCounters) -> None:
    call = (one("d", "a"), one("d", "b", hits=5), one("d", "a", hits=2), one("d", "a", hits=0))
    assert await before(store, *call) == (0, 0, 1, 3)
    assert await before(store, *call) == (3, 5, 4, 6)


async def test_the_same_key_of_another_unit_is_another_counter(store: WindowCounters) -> None:
    await store.add((one(unit=Unit.YEAR, hits=4),))
    assert await before(store, one(unit=Unit.MONTH), one(unit=Unit.YEAR)) == (0, 4)


async def test_keys_that_join_to_the_same_text_are_other_counters(store: WindowCounters) -> None:
    for key in APART:
        assert await before(store, one(*("d", *key))) == (0,)
    for key in APART:
        assert await before(store, one(*("d", *key), hits=0)) == (1,)


async def test_looking_makes_no_counter(store: WindowCounters) -> None:
    assert [await before(store, one(hits=0)) for _ in range(3)] == [(0,)] * 3


async def test_what_is_given_back_is_never_more_than_there_was(store: WindowCounters) -> None:
    assert [await before(store, one(hits=hits)) for hits in (3, -2, -5, 1, 0)] == [(0,), (3,), (1,), (0,), (1,)]


@pytest.mark.parametrize("hits", [2**32 - 1, 2**32, 2**63, 2**64 - 1])
async def test_a_counter_never_overflows(store: WindowCounters, hits: int) -> None:
    for _ in range(3):
        await store.add((one(hits=hits),))
    assert await before(store, one(hits=hits)) == (min(3 * hits, MOST),)
    assert await before(store, one(hits=-1)) == (min(4 * hits, MOST),)


async def test_nothing_to_add_is_no_mistake(store: WindowCounters) -> None:
    assert await before(store) == ()


async def test_calls_at_once_lose_nothing_and_count_nothing_twice(store: WindowCounters) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(before(store, one(), one("d", "other", hits=2))) for _ in range(100)]
    assert sorted(task.result()[0] for task in tasks) == list(range(100))
    assert sorted(task.result()[1] for task in tasks) == list(range(0, 200, 2))

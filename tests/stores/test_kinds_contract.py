"""What every counter store keeps to, kind by kind: quotas, sliding windows, slots, budgets, shadows."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from extproc.core.calendar import Unit
from extproc.core.limits import Counter, Kind, Limit, Per, Settlement
from extproc.core.ports import CounterStore
from extproc.testing import FakeClock
from tests.stores.counters import (
    FIVE_A_MINUTE,
    ONE_A_SECOND,
    TOKENS,
    allowed,
    charge,
    hit,
    quota,
    remaining,
    settlement,
    sliding,
    slots,
    told,
)

KINDS = [FIVE_A_MINUTE, quota(), sliding(), slots(5), quota(kind=Kind.BUDGET, name="tokens")]
WINDOWS = [quota(), quota(unit=Unit.HOUR), quota(unit=Unit.MONTH), sliding(), sliding(period=3_600)]


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.kind.value)
async def test_a_hundred_at_once_admit_exactly_five(store: CounterStore, of: Limit) -> None:
    asked = (store.hit(charge(hit(of), key=f"stream-{number}")) for number in range(100))
    assert sum(state.allowed for (state,) in await asyncio.gather(*asked)) == 5
    assert await remaining(store, of) == 0


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.kind.value)
async def test_kinds_together_are_charged_all_or_none(store: CounterStore, of: Limit) -> None:
    for order in (1, -1):
        states = await store.hit(charge(*(hit(of, count=0), hit(quota(1, name="no"), count=2))[::order], key="a"))
        assert sorted(told(states)) == sorted([(of.name, True, 5), ("no", False, 1)])
        assert not await allowed(store, *(hit(of), hit(quota(1, name="no"), count=2))[::order], key=f"b{order}")
    assert await remaining(store, of) == 5


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.kind.value)
async def test_a_charge_that_comes_twice_counts_once(store: CounterStore, of: Limit) -> None:
    first = await store.hit(charge(hit(of), key="stream-1"))
    assert await store.hit(charge(hit(of), key="stream-1")) == first
    assert await remaining(store, of) == 4


@pytest.mark.parametrize("of", KINDS, ids=lambda of: of.kind.value)
async def test_a_shadow_counts_and_never_refuses(store: CounterStore, of: Limit) -> None:
    shadow = replace(of, shadow=True)
    for number in range(5):
        assert await allowed(store, hit(shadow), hit(quota(100, name="real")), key=f"stream-{number}")
    over, real = await store.hit(charge(hit(shadow), hit(quota(100, name="real")), key="one-more"))
    assert (over.allowed, over.refuses, over.remaining, real.remaining) == (False, False, 0, 94)


@pytest.mark.parametrize("of", WINDOWS, ids=lambda of: f"{of.kind.value}-{of.period}")
async def test_a_window_admits_its_number_and_is_empty_again_after_it(
    store: CounterStore, clock: FakeClock, of: Limit
) -> None:
    assert [await allowed(store, hit(of)) for _ in range(6)] == [True] * 5 + [False]
    (state,) = await store.hit(charge(hit(of)))
    assert 0 < state.retry_after_seconds <= of.period * 33 // 32 + 1
    clock.advance(state.retry_after_seconds)
    assert await allowed(store, hit(of))
    assert await remaining(store, of) == 4


async def test_a_quota_does_not_care_how_its_window_is_used(store: CounterStore, clock: FakeClock) -> None:
    clock.advance(60 - clock.seconds % 60)
    assert await allowed(store, hit(quota(), count=4))
    clock.advance(59.9)
    assert [await allowed(store, hit(quota())) for _ in range(2)] == [True, False]
    clock.advance(0.1)
    assert await remaining(store, quota()) == 5


@pytest.mark.parametrize("step", [-3_600.0, 3_600.0])
async def test_a_clock_set_an_hour_off_gives_one_more_quota_at_most(
    store: CounterStore, clock: FakeClock, step: float
) -> None:
    assert [await allowed(store, hit(quota())) for _ in range(6)] == [True] * 5 + [False]
    clock.seconds += step
    admitted = [await allowed(store, hit(quota())) for _ in range(20)]
    assert sum(admitted) in ((0, 5) if step > 0 else (0,))  # 0 where the store has a clock of its own
    clock.advance(60)
    assert [await allowed(store, hit(quota())) for _ in range(6)] == [True] * 5 + [False]


async def test_slots_are_given_back_once(store: CounterStore) -> None:
    assert [await allowed(store, hit(slots()), key=key) for key in "abc"] == [True, True, False]
    for _ in range(3):
        await store.settle([settlement(slots(), "a")])
    assert [await allowed(store, hit(slots()), key=key) for key in "de"] == [True, False]
    await store.settle([settlement(slots(), "never-taken")])
    assert await remaining(store, slots()) == 0


async def test_a_slot_that_nobody_gives_back_is_free_when_its_lease_is_over(
    store: CounterStore, clock: FakeClock
) -> None:
    assert [await allowed(store, hit(slots()), key=key) for key in "abc"] == [True, True, False]
    clock.advance(59.9)
    assert not await allowed(store, hit(slots()), key="d")
    clock.advance(0.2)
    assert [await allowed(store, hit(slots()), key=key) for key in "efg"] == [True, True, False]


async def test_a_slot_without_a_name_comes_back_by_its_lease(store: CounterStore, clock: FakeClock) -> None:
    assert [await allowed(store, hit(slots())) for _ in range(3)] == [True, True, False]
    clock.advance(60.1)
    assert await remaining(store, slots()) == 2


async def test_a_reservation_is_settled_for_less_for_more_or_not_at_all(store: CounterStore) -> None:
    for key in "abc":
        assert await allowed(store, hit(TOKENS, count=30), key=key)
    assert not await allowed(store, hit(TOKENS, count=30), key="d")
    await store.settle([settlement(TOKENS, "a", 10), settlement(TOKENS, "b", 35)])
    assert await remaining(store, TOKENS) == 25
    await store.settle([settlement(TOKENS, "c")])
    assert await remaining(store, TOKENS) == 55


async def test_a_reservation_is_settled_once(store: CounterStore) -> None:
    assert await allowed(store, hit(TOKENS, count=30), key="a")
    for amount in (10, 0, 99):
        await store.settle([settlement(TOKENS, "a", amount)])
    await store.settle([settlement(TOKENS, "of nobody", 50)])
    assert await remaining(store, TOKENS) == 90


async def test_what_is_settled_beyond_the_budget_leaves_nothing_and_the_next_window_begins_anew(
    store: CounterStore, clock: FakeClock
) -> None:
    assert await allowed(store, hit(TOKENS, count=90), key="a")
    await store.settle([settlement(TOKENS, "a", 250)])
    assert await remaining(store, TOKENS) == 0
    assert not await allowed(store, hit(TOKENS), key="b")
    clock.advance(60)
    assert await remaining(store, TOKENS) == 100


async def test_a_reservation_belongs_to_the_window_in_which_it_was_made(store: CounterStore, clock: FakeClock) -> None:
    assert await allowed(store, hit(TOKENS, count=90), key="a")
    clock.advance(60)
    assert await allowed(store, hit(TOKENS, count=50), key="b")
    await store.settle([settlement(TOKENS, "a", 1)])
    assert await remaining(store, TOKENS) == 50


async def test_a_thousand_at_once_never_exceed_a_budget_and_balance_to_the_unit(store: CounterStore) -> None:
    chance = random.Random(7)  # noqa: S311 - a game, not a secret
    budget = quota(10_000, Unit.MONTH, Kind.BUDGET, "tokens")
    spent, highest = 0, 0

    async def one(number: int) -> None:
        nonlocal spent, highest
        asked = chance.randint(1, 60)
        (state,) = await store.hit(charge(hit(budget, count=asked), key=f"stream-{number}"))
        highest = max(highest, budget.count - state.remaining)
        if state.allowed:
            used = chance.choice([0, asked, chance.randint(0, asked)])
            await asyncio.gather(*(store.settle([settlement(budget, f"stream-{number}", used)]) for _ in range(2)))
            spent += used

    await asyncio.gather(*(one(number) for number in range(1_000)))
    assert highest <= budget.count
    assert budget.count - await remaining(store, budget) == spent > 0


async def test_a_hit_of_a_budget_twice_in_a_charge_is_one_reservation(store: CounterStore) -> None:
    assert await allowed(store, hit(TOKENS, count=30), hit(TOKENS, count=20), key="a")
    assert await remaining(store, TOKENS) == 50
    await store.settle([settlement(TOKENS, "a", 10)])
    assert await remaining(store, TOKENS) == 90


@pytest.mark.parametrize("count", [2**32 - 1, 2**64 - 1])
@pytest.mark.parametrize("of", [quota(), sliding(), TOKENS], ids=lambda of: of.name)
async def test_a_number_of_any_size_is_refused_without_harm(store: CounterStore, of: Limit, count: int) -> None:
    assert not await allowed(store, hit(of, count=count), key="a")
    assert await remaining(store, of) == of.count


async def test_limits_of_one_name_and_another_kind_count_apart(store: CounterStore) -> None:
    others = [replace(quota(), kind=Kind.BUDGET), replace(sliding(), name="quota"), replace(slots(5), name="quota")]
    assert [await allowed(store, hit(quota())) for _ in range(6)] == [True] * 5 + [False]
    assert [await remaining(store, other) for other in others] == [5, 5, 5]
    assert await allowed(store, hit(ONE_A_SECOND))


async def test_who_holds_some_and_asks_for_more_holds_it_all_and_settles_it_once(store: CounterStore) -> None:
    assert await allowed(store, hit(TOKENS, count=10), key="a")
    for number, count in enumerate((20, 20, 30)):  # two alike are two questions, and not one that comes twice
        more = charge(hit(TOKENS, count=count), key=f"a/{number}")._replace(holder="a")
        assert all(state.allowed for state in await store.hit(more))
    assert await remaining(store, TOKENS) == 20
    refused = await store.hit(charge(hit(TOKENS, count=30), key="a/3")._replace(holder="a"))
    assert told(refused) == [("tokens", False, 20)]
    await store.settle([settlement(TOKENS, "a", 45)])
    await store.settle([settlement(TOKENS, "a", 0)])
    assert await remaining(store, TOKENS) == 55


async def test_what_is_refused_beside_another_budget_leaves_what_was_held_before(store: CounterStore) -> None:
    """In a Cluster what is shared is charged before, and given back: no more than it had is taken with it."""
    ours = replace(TOKENS, name="ours", per=Per.ROUTE, scope="route/a")
    for one in (hit(TOKENS, count=95), hit(ours, "all", count=10)):
        assert await allowed(store, one, key="a")
    both = charge(hit(TOKENS, count=20), hit(ours, "all", count=20), key="a/1")._replace(holder="a")
    assert [state.allowed for state in await store.hit(both)] == [False, True]
    assert (await remaining(store, TOKENS), await remaining(store, ours, "all")) == (5, 90)
    await store.settle([settlement(TOKENS, "a", 40), Settlement(Counter(ours, ("all",)), "a", 40)])
    assert (await remaining(store, TOKENS), await remaining(store, ours, "all")) == (60, 60)


async def test_what_was_held_in_a_window_that_is_over_is_not_given_back_to_the_next(
    store: CounterStore, clock: FakeClock
) -> None:
    assert await allowed(store, hit(TOKENS, count=90), key="a")
    clock.advance(60)
    more = charge(hit(TOKENS, count=20), key="a/1")._replace(holder="a")
    assert all(state.allowed for state in await store.hit(more))
    await store.settle([settlement(TOKENS, "a", 5)])
    assert await remaining(store, TOKENS) == 95

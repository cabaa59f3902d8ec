"""What every counter store keeps to, whatever it counts with."""

from __future__ import annotations

import asyncio

import pytest

from extproc.core.limits import NANOSECONDS, Charge, Limit, Per
from extproc.core.ports import CounterStore
from extproc.testing import FakeClock
from tests.stores.counters import FIVE_A_MINUTE, ONE_A_SECOND, allowed, charge, hit, limit, remaining, told


async def test_a_hundred_at_once_on_five_a_minute_admit_exactly_five(store: CounterStore) -> None:
    states = await asyncio.gather(*(store.hit(charge()) for _ in range(100)))
    assert sum(state.allowed for (state,) in states) == 5


async def test_a_hundred_at_once_with_ids_of_their_own_admit_exactly_five(store: CounterStore) -> None:
    states = await asyncio.gather(*(store.hit(charge(key=f"stream-{number}")) for number in range(100)))
    assert sum(state.allowed for (state,) in states) == 5


async def test_the_burst_passes_and_then_the_rate_exactly(store: CounterStore, clock: FakeClock) -> None:
    assert [await allowed(store) for _ in range(6)] == [True] * 5 + [False]
    clock.advance(11.999)
    assert not await allowed(store)
    clock.advance(0.001)
    assert [await allowed(store) for _ in range(2)] == [True, False]
    clock.advance(3_600)
    assert [await allowed(store) for _ in range(6)] == [True] * 5 + [False]


async def test_a_state_tells_what_remains_and_how_long_to_wait(store: CounterStore) -> None:
    for left in (4, 3, 2, 1, 0):
        (state,) = await store.hit(charge())
        assert (state.allowed, state.remaining, state.retry_after) == (True, left, 0)
        assert state.reset == (5 - left) * 12 * NANOSECONDS
    (state,) = await store.hit(charge())
    assert (state.allowed, state.remaining, state.retry_after) == (False, 0, 12 * NANOSECONDS)


async def test_states_come_in_the_order_of_the_hits(store: CounterStore) -> None:
    states = await store.hit(charge(hit(ONE_A_SECOND), hit(FIVE_A_MINUTE)))
    assert told(states) == [("consumer-0", True, 0), ("tier", True, 4)]
    assert [state.counter for state in states] == [hit(ONE_A_SECOND).counter, hit(FIVE_A_MINUTE).counter]


@pytest.mark.parametrize("order", [1, -1])
async def test_when_one_counter_refuses_none_is_charged(store: CounterStore, order: int) -> None:
    both = (hit(FIVE_A_MINUTE), hit(ONE_A_SECOND))[::order]
    assert await allowed(store, *both)
    for _ in range(10):
        states = await store.hit(charge(*both))
        assert {state.counter.limit.name: state.allowed for state in states} == {"tier": True, "consumer-0": False}
    assert await remaining(store) == 4


async def test_one_counter_hit_twice_in_a_charge_is_charged_twice(store: CounterStore) -> None:
    states = await store.hit(charge(hit(), hit()))
    assert told(states) == [("tier", True, 4), ("tier", True, 3)]
    assert await remaining(store) == 3
    assert not await allowed(store, hit(ONE_A_SECOND), hit(ONE_A_SECOND))
    assert await allowed(store, hit(ONE_A_SECOND))


async def test_the_same_charge_under_the_same_key_is_charged_once(store: CounterStore) -> None:
    first = await store.hit(charge(key="stream-1"))
    assert [await store.hit(charge(key="stream-1")) for _ in range(10)] == [first] * 10
    assert await remaining(store) == 4


async def test_a_refusal_is_repeated_under_the_same_key(store: CounterStore, clock: FakeClock) -> None:
    assert await allowed(store, hit(ONE_A_SECOND))
    refused = await store.hit(charge(hit(ONE_A_SECOND), key="stream-1"))
    clock.advance(2)
    assert await store.hit(charge(hit(ONE_A_SECOND), key="stream-1")) == refused
    assert await allowed(store, hit(ONE_A_SECOND), key="stream-2")


async def test_two_policies_that_charge_for_one_stream_do_not_answer_for_each_other(store: CounterStore) -> None:
    assert told(await store.hit(charge(hit(ONE_A_SECOND), key="stream-1"))) == [("consumer-0", True, 0)]
    both = await store.hit(charge(hit(FIVE_A_MINUTE), hit(FIVE_A_MINUTE, "other"), key="stream-1"))
    assert told(both) == [("tier", True, 4), ("tier", True, 4)]


async def test_a_charge_without_a_key_is_never_the_same(store: CounterStore) -> None:
    assert [await allowed(store) for _ in range(6)] == [True] * 5 + [False]


ALIKE = [
    (("a", "b_c"), ("a_b", "c")),
    (("a", "b"), ("a|b",)),
    (("a:b", "c"), ("a", "b:c")),
    (("a\nb",), ("a", "b")),
    (("a", ""), ("a",)),
    (("", "a"), ("a", "")),
    (("k" * 10_240,), ("k" * 10_241,)),
    (("é",), ("e\u0301",)),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
async def test_no_separator_makes_two_subjects_one(
    store: CounterStore, one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    assert await allowed(store, hit(ONE_A_SECOND, *one))
    assert await allowed(store, hit(ONE_A_SECOND, *other))
    assert not await allowed(store, hit(ONE_A_SECOND, *one))


@pytest.mark.parametrize(
    "other",
    [limit(name="other"), limit(scope="tier/premium"), Limit("tier", "tier/free", Per.ADDRESS, 5, 60, 5)],
)
async def test_limits_of_another_name_scope_or_kind_count_apart(store: CounterStore, other: Limit) -> None:
    for _ in range(5):
        assert await allowed(store)
    assert await remaining(store, other) == 5


async def test_a_rate_that_the_operator_edits_keeps_the_counter(store: CounterStore) -> None:
    for _ in range(5):
        assert await allowed(store)
    assert await remaining(store, limit(count=5, burst=6)) == 1


async def test_looking_takes_nothing(store: CounterStore) -> None:
    assert [await remaining(store) for _ in range(10)] == [5] * 10
    for _ in range(5):
        await allowed(store)
    assert not await allowed(store, hit(count=0))


async def test_a_hit_of_many_takes_many_or_nothing(store: CounterStore) -> None:
    assert await allowed(store, hit(count=3))
    assert not await allowed(store, hit(count=3))
    assert await remaining(store) == 2


@pytest.mark.parametrize("count", [6, 2**32 - 1, 2**64 - 1])
async def test_a_hit_of_more_than_the_burst_is_refused_without_harm(store: CounterStore, count: int) -> None:
    assert not await allowed(store, hit(count=count))
    assert await remaining(store) == 5


async def test_a_charge_of_nothing_is_no_judgement(store: CounterStore) -> None:
    assert await store.hit(Charge(())) == ()


@pytest.mark.parametrize("step", [-3_600.0, 3_600.0, -1e9])
async def test_a_wall_clock_that_is_set_anew_neither_frees_nor_blocks(
    store: CounterStore, clock: FakeClock, step: float
) -> None:
    for _ in range(5):
        assert await allowed(store)
    clock.seconds += step
    assert not await allowed(store)
    clock.advance(60)
    assert [await allowed(store) for _ in range(6)] == [True] * 5 + [False]


async def test_a_refusal_tells_what_is_left_of_the_counters_that_it_did_not_charge(store: CounterStore) -> None:
    assert await allowed(store, hit(ONE_A_SECOND))
    states = await store.hit(charge(hit(FIVE_A_MINUTE), hit(ONE_A_SECOND)))
    assert told(states) == [("tier", True, 5), ("consumer-0", False, 0)]

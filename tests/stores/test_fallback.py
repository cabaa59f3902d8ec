"""While the shared counters cannot be asked, each limit of a call has its own say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import UNKNOWN, Charge, CounterState, Limit, OnError, Settlement
from extproc.stores.fallback import Fallback
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock
from tests.stores.counters import FIVE_A_MINUTE, allowed, charge, hit, limit, quota, remaining, settlement, slots

DENYING = limit(100, burst=100, name="denying")
ALLOWING = replace(limit(name="allowing"), on_error=OnError.ALLOW)
LOCAL = replace(FIVE_A_MINUTE, on_error=OnError.LOCAL)
SHADOW = replace(limit(name="shadow"), shadow=True)


@dataclass(slots=True)
class Shared:
    """A store that can be asked, or cannot."""

    counters: MemoryCounters
    gone: bool = False

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        if self.gone:
            raise StoreUnavailable("nobody answers")
        return await self.counters.hit(charge)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        if self.gone:
            raise StoreUnavailable("nobody answers")
        await self.counters.settle(settlements)


@pytest.fixture
def shared(clock: FakeClock) -> Shared:
    return Shared(MemoryCounters(clock))


@pytest.fixture
def store(shared: Shared, clock: FakeClock) -> Fallback:
    return Fallback(shared, MemoryCounters(clock))


async def test_one_limit_that_denies_denies_the_call(store: Fallback, shared: Shared) -> None:
    assert await allowed(store, hit(DENYING), hit(ALLOWING), hit(LOCAL))
    shared.gone = True
    with pytest.raises(StoreUnavailable):
        await store.hit(charge(hit(DENYING), hit(ALLOWING), hit(LOCAL)))
    assert await remaining(store, LOCAL) == 5


async def test_what_allows_counts_nothing_and_says_that_it_does_not_know(store: Fallback, shared: Shared) -> None:
    shared.gone = True
    for _ in range(20):
        (state,) = await store.hit(charge(hit(ALLOWING)))
        assert (state.allowed, state.remaining) == (True, UNKNOWN)
    shared.gone = False
    assert await remaining(store, ALLOWING) == 5


async def test_what_is_local_counts_here_and_again_there_afterwards(store: Fallback, shared: Shared) -> None:
    assert await allowed(store, hit(LOCAL, count=4))
    shared.gone = True
    assert [await allowed(store, hit(LOCAL), hit(ALLOWING)) for _ in range(6)] == [True] * 5 + [False]
    shared.gone = False
    assert [await allowed(store, hit(LOCAL)) for _ in range(2)] == [True, False]


async def test_a_shadow_refuses_nobody(store: Fallback, shared: Shared) -> None:
    shared.gone = True
    assert [await allowed(store, hit(SHADOW)) for _ in range(20)] == [True] * 20


async def test_without_a_place_of_its_own_a_local_limit_denies(shared: Shared) -> None:
    shared.gone = True
    with pytest.raises(StoreUnavailable):
        await Fallback(shared).hit(charge(hit(LOCAL)))


@pytest.mark.parametrize("of", [quota(), slots()], ids=lambda of: of.name)
async def test_what_was_taken_here_is_settled_here_and_there(store: Fallback, shared: Shared, of: Limit) -> None:
    local = replace(of, on_error=OnError.LOCAL)
    shared.gone = True
    assert await allowed(store, hit(replace(slots(), on_error=OnError.LOCAL)), hit(local), key="a")
    with pytest.raises(StoreUnavailable):
        await store.settle([settlement(slots(), "a")])
    assert await remaining(store, replace(slots(), on_error=OnError.LOCAL)) == 2

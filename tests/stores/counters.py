"""What the contract of counter stores is tested with. A new store joins by one line in STORES."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

from extproc.core.calendar import SECONDS, Calendar, Unit
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.ports import CounterStore
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock


@contextlib.asynccontextmanager
async def in_memory(clock: FakeClock) -> AsyncIterator[CounterStore]:
    yield MemoryCounters(clock)


STORES: Final[Mapping[str, Callable[[FakeClock], AbstractAsyncContextManager[CounterStore]]]] = {
    "memory": in_memory,
}


def limit(count: int = 5, period: int = 60, burst: int = 5, name: str = "tier", scope: str = "tier/free") -> Limit:
    return Limit(name, scope, Per.CONSUMER, count, period, burst)


def quota(count: int = 5, unit: Unit = Unit.MINUTE, kind: Kind = Kind.QUOTA, name: str = "quota") -> Limit:
    return Limit(name, "tier/free", Per.CONSUMER, count, SECONDS[unit], count, kind, Calendar(unit))


def sliding(count: int = 5, period: int = 60) -> Limit:
    return Limit("sliding", "tier/free", Per.CONSUMER, count, period, count, Kind.SLIDING)


def slots(count: int = 2, lease: int = 60) -> Limit:
    return Limit("open", "tier/free", Per.CONSUMER, count, lease, count, Kind.CONCURRENCY)


FIVE_A_MINUTE: Final = limit()
ONE_A_SECOND: Final = limit(1, 1, 1, "consumer-0", "route/orders")
TOKENS: Final = quota(100, kind=Kind.BUDGET, name="tokens")


def hit(of: Limit = FIVE_A_MINUTE, *subject: str, count: int = 1) -> Hit:
    return Hit(Counter(of, subject or ("acme",)), count)


def charge(*hits: Hit, key: str | None = None) -> Charge:
    return Charge(hits or (hit(),), key)


def settlement(of: Limit, held: str, amount: int = 0) -> Settlement:
    return Settlement(Counter(of, ("acme",)).key, held, amount)


async def allowed(store: CounterStore, *hits: Hit, key: str | None = None) -> bool:
    return all(state.allowed for state in await store.hit(charge(*hits, key=key)))


async def remaining(store: CounterStore, of: Limit = FIVE_A_MINUTE, *subject: str) -> int:
    """What is left, without taking any of it."""
    (state,) = await store.hit(charge(hit(of, *subject, count=0)))
    return state.remaining


def told(states: tuple[CounterState, ...]) -> list[tuple[str, bool, int]]:
    return [(state.counter.limit.name, state.allowed, state.remaining) for state in states]

"""What the contract of counter stores is tested with. A new store joins by one line in STORES."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from extproc.core.limits import Charge, Counter, CounterState, Hit, Limit, Per
from extproc.core.ports import CounterStore
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock

STORES: Final[Mapping[str, Callable[[FakeClock], CounterStore]]] = {
    "memory": MemoryCounters,
}


def limit(count: int = 5, period: int = 60, burst: int = 5, name: str = "tier", scope: str = "tier/free") -> Limit:
    return Limit(name, scope, Per.CONSUMER, count, period, burst)


FIVE_A_MINUTE: Final = limit()
ONE_A_SECOND: Final = limit(1, 1, 1, "consumer-0", "route/orders")


def hit(of: Limit = FIVE_A_MINUTE, *subject: str, count: int = 1) -> Hit:
    return Hit(Counter(of, subject or ("acme",)), count)


def charge(*hits: Hit, key: str | None = None) -> Charge:
    return Charge(hits or (hit(),), key)


async def allowed(store: CounterStore, *hits: Hit, key: str | None = None) -> bool:
    return all(state.allowed for state in await store.hit(charge(*hits, key=key)))


async def remaining(store: CounterStore, of: Limit = FIVE_A_MINUTE, *subject: str) -> int:
    """What is left, without taking any of it."""
    (state,) = await store.hit(charge(hit(of, *subject, count=0)))
    return state.remaining


def told(states: tuple[CounterState, ...]) -> list[tuple[str, bool, int]]:
    return [(state.counter.limit.name, state.allowed, state.remaining) for state in states]

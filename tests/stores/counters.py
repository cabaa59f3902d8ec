"""What the contract of counter stores is tested with. A new store joins by one line in STORES."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

from extproc.app.observing import Unheard
from extproc.core.calendar import SECONDS, Calendar, Unit
from extproc.core.limits import Charge, Counter, CounterState, Hit, Kind, Limit, Per, Settlement
from extproc.core.ports import CounterStore
from extproc.stores.memory import MemoryCounters
from extproc.stores.redis_connection import PATIENT, RedisConnection
from extproc.stores.redis_counters import RedisCounters
from extproc.testing import FakeClock
from tests import redis_groups


@contextlib.asynccontextmanager
async def in_memory(clock: FakeClock) -> AsyncIterator[CounterStore]:
    yield MemoryCounters(clock)


@contextlib.asynccontextmanager
async def in_redis(url: str, clock: FakeClock) -> AsyncIterator[CounterStore]:
    """On the real server, by the time of the test: Redis's own cannot be moved."""
    connection = RedisConnection(url, "counters", Unheard(), PATIENT, PATIENT)
    began = clock.ticks

    def time() -> str:
        return str(1_790_000_000_000_000 + (clock.ticks - began) // 1_000)

    yield RedisCounters(connection, clock, time)
    await connection.close()


@contextlib.asynccontextmanager
async def in_one_redis(clock: FakeClock) -> AsyncIterator[CounterStore]:
    node = redis_groups.one()
    with node.client() as client:
        client.flushall()
    async with in_redis(f"redis://127.0.0.1:{node.port}/0", clock) as store:
        yield store


@contextlib.asynccontextmanager
async def in_a_cluster(clock: FakeClock) -> AsyncIterator[CounterStore]:
    redis_groups.cluster().flush()
    async with in_redis(redis_groups.cluster().url, clock) as store:
        yield store


@contextlib.asynccontextmanager
async def behind_a_sentinel(clock: FakeClock) -> AsyncIterator[CounterStore]:
    redis_groups.watched().flush()
    async with in_redis(redis_groups.watched().url, clock) as store:
        yield store


STORES: Final[Mapping[str, Callable[[FakeClock], AbstractAsyncContextManager[CounterStore]]]] = {
    "memory": in_memory,
    "redis": in_one_redis,
    "cluster": in_a_cluster,
    "sentinel": behind_a_sentinel,
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
    return Settlement(Counter(of, ("acme",)), held, amount)


async def allowed(store: CounterStore, *hits: Hit, key: str | None = None) -> bool:
    return all(state.allowed for state in await store.hit(charge(*hits, key=key)))


async def remaining(store: CounterStore, of: Limit = FIVE_A_MINUTE, *subject: str) -> int:
    """What is left, without taking any of it."""
    (state,) = await store.hit(charge(hit(of, *subject, count=0)))
    return state.remaining


def told(states: tuple[CounterState, ...]) -> list[tuple[str, bool, int]]:
    return [(state.counter.limit.name, state.allowed, state.remaining) for state in states]

"""`python -m tests.bench.limits`: what judging limits costs, in memory and in Redis, and what counters weigh.

The ratios are what to compare: the microseconds are the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from extproc.app.clock import SystemClock
from extproc.app.observing import Unheard
from extproc.core.limits import Charge, Counter, Hit, Limit, Per
from extproc.stores.memory import MemoryCounters
from extproc.stores.redis_charge import HIT, Item, ask
from extproc.stores.redis_connection import PATIENT, RedisConnection
from extproc.stores.redis_counters import SHA, RedisCounters
from tests import redis_groups

AT_ONCE: Final = 32
ROUNDS: Final = 7
TIMES: Final = 5_000
MILLION: Final = 1_000_000
PLENTY: Final = 10**6
TIER: Final = Limit("tier", "tier/free", Per.CONSUMER, PLENTY, 1, PLENTY)
OWN: Final = Limit("consumer-1", "route/orders", Per.CONSUMER, PLENTY, 1, PLENTY)
ADDRESS: Final = Limit("address-2", "route/orders", Per.ADDRESS, PLENTY, 1, PLENTY)
SLOW: Final = Limit("tier", "tier/free", Per.CONSUMER, 1, 3_600, 1)


def three(consumer: str, stream: str | None = None) -> Charge:
    hits = (Hit(Counter(TIER, (consumer,))), Hit(Counter(OWN, (consumer,))), Hit(Counter(ADDRESS, ("192.0.2.7/32",))))
    return Charge(hits, stream)


async def in_memory(times: int) -> float:
    """Microseconds for a charge of three limits, the making of it included."""
    store, numbers = MemoryCounters(SystemClock()), iter(range(10**9))

    async def many() -> None:
        for _ in range(times):
            await store.hit(three("acme", str(next(numbers))))

    return await _best(many) / times


async def _best(many: Callable[[], Awaitable[None]], rounds: int = ROUNDS) -> float:
    best = float("inf")
    for _ in range(rounds):
        gc.collect()
        started = time.perf_counter()
        await many()
        best = min(best, (time.perf_counter() - started) * 1e6)
    return best


async def in_redis(times: int) -> tuple[float, float]:
    """Microseconds for 32 decisions at once, and for a bare pipeline of as many calls of the same script."""
    connection = RedisConnection(
        f"redis://127.0.0.1:{redis_groups.one().port}", "counters", Unheard(), PATIENT, PATIENT
    )
    store, numbers = RedisCounters(connection, SystemClock()), iter(range(10**9))

    def charge(consumer: int) -> Charge:
        return Charge((Hit(Counter(TIER, (f"consumer-{consumer}",))),), f"stream-{next(numbers)}")

    async def decided() -> None:
        for _ in range(times):
            await asyncio.gather(*(store.hit(charge(number)) for number in range(AT_ONCE)))

    prepared: list[list[tuple[Any, ...]]] = []

    async def bare() -> None:
        for calls in prepared:
            await connection.ask(lambda client, calls=calls: _pipelined(client, calls))  # type: ignore[misc]

    await decided()
    ours, theirs = float("inf"), float("inf")
    for _ in range(ROUNDS):  # in turn: what disturbs one disturbs the other
        prepared[:] = [[_spelled(charge(number)) for number in range(AT_ONCE)] for _ in range(times)]
        ours, theirs = min(ours, await _best(decided, 1)), min(theirs, await _best(bare, 1))
    await connection.close()
    return ours / times, theirs / times


def _spelled(charge: Charge) -> tuple[Any, ...]:
    """Ready to be sent."""
    keys, arguments = ask(
        HIT, [Item(hit, place) for place, hit in enumerate(charge.hits)], charge, charge.key or "", "", 0
    )
    return ("EVALSHA", SHA, len(keys), *keys, *arguments)


async def _pipelined(client: Any, calls: Sequence[tuple[Any, ...]]) -> None:
    pipeline = client.pipeline(transaction=False)
    for call in calls:
        pipeline.execute_command(*call)
    await pipeline.execute()


async def weight(counters: int) -> float:
    """Bytes that one counter takes, with its key."""
    store = MemoryCounters(SystemClock(), counters)
    gc.collect()
    tracemalloc.start()
    for number in range(counters):
        await store.hit(Charge((Hit(Counter(SLOW, (f"consumer-{number:07d}",))),)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) == counters
    return taken / counters


async def measured(times: int, counters: int) -> dict[str, float]:
    memory, bytes_each = await in_memory(times), await weight(counters)
    ours, bare = await in_redis(max(1, times // 50))
    return {
        "memory_three_limits_us": memory,
        "redis_32_at_once_us": ours,
        "redis_bare_pipeline_us": bare,
        "redis_ratio": ours / bare,
        "counter_bytes": bytes_each,
        "million_counters_mb": bytes_each * MILLION / 1e6,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--counters", type=int, default=MILLION)
    given = parser.parse_args(arguments)
    sys.stdout.write(json.dumps(asyncio.run(measured(given.times, given.counters)), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Usage in a Redis: a hash for each hour, which ends by itself, with a field for each number of each sum."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis

from extproc.core.ports import Clock
from extproc.core.usage import HOUR, NONE, Sums, Usage, Used
from extproc.stores.redis_connection import RedisConnection

PREFIX: Final = "extproc:usage:"
NUMBERS: Final = Usage._fields
MODEL: Final = Used._fields.index("model")
AT_ONCE: Final = 1_000  # fields of one step: several sidecars share the server
LARGEST: Final = 2**62


class RedisUsage:
    """Several sidecars add to the same hours. What was added when its answer was lost is added again: best effort."""

    def __init__(self, connection: RedisConnection, keep: int, clock: Clock) -> None:
        self._connection = connection
        self._keep = keep
        self._clock = clock
        self.tend = connection.tend
        self.close = connection.close

    async def add(self, sums: Sums) -> None:
        fields: dict[int, list[tuple[str, int]]] = {}
        for used, usage in sums.items():
            # What no model answered is spelt as it was before there were models: one sum, whichever sidecar adds to it.
            spelled = json.dumps(used[1:] if used.model else used[1:MODEL], separators=(",", ":"))
            numbers = zip(NUMBERS, usage, strict=True)
            fields.setdefault(used.hour, []).extend(
                [(f"{name} {spelled}", min(number, LARGEST)) for name, number in numbers if number]
            )
        for hour, several in fields.items():
            for start in range(0, len(several), AT_ONCE):
                await self._connection.ask(partial(self._add, hour, several[start : start + AT_ONCE]))

    async def since(self, moment: int) -> Sums:
        found: dict[Used, Usage] = {}
        now = int(self._clock.now())
        oldest = max(moment, now - self._keep)
        for hour in range(oldest - oldest % HOUR, now + HOUR, HOUR):
            fields = await self._connection.ask(partial(_fields, hour))
            for used, name, number in _read(hour, fields):
                found[used] = found.get(used, NONE)._replace(**{name: number})
        return found

    async def _add(self, hour: int, fields: list[tuple[str, int]], client: Redis) -> None:
        key = f"{PREFIX}{hour}"
        pipeline = client.pipeline(transaction=False)
        for field, number in fields:
            pipeline.hincrby(key, field, number)
        pipeline.expireat(key, hour + HOUR + self._keep)
        await pipeline.execute()


async def _fields(hour: int, client: Redis) -> Mapping[Any, Any]:
    found: Any = client.hgetall(f"{PREFIX}{hour}")
    answer: Mapping[Any, Any] = await found
    return answer


def _read(hour: int, fields: Mapping[Any, Any]) -> list[tuple[Used, str, int]]:
    read = []
    for field, number in fields.items():
        name, _, spelled = field.decode().partition(" ")
        if name in NUMBERS:
            read.append((Used(hour, *json.loads(spelled)), name, int(number)))
    return read

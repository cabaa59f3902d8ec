"""Which requests were answered lately, and by whom, in a Redis that sidecars share: a key each, that ends by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis

from extproc.core.feedback import WITHIN, Answered
from extproc.stores.redis_connection import RedisConnection

PREFIX: Final = "extproc:answered:"
AT_ONCE: Final = 100
# Of whoever asks, one alone gets it; another consumer gets nothing and takes nothing away. A key that was claimed stays
# for its time, so that what is remembered twice is not claimed twice.
CLAIM: Final = """
local found = redis.call('GET', KEYS[1])
if not found or found == '' then return false end
if ARGV[1] == '1' and cjson.decode(found)[4] ~= ARGV[2] then return false end
redis.call('SET', KEYS[1], '', 'KEEPTTL')
return found
"""


class RedisAnswers:
    def __init__(self, connection: RedisConnection) -> None:
        self._connection = connection

    async def remember(self, answers: Mapping[str, Answered]) -> None:
        items = list(answers.items())
        for start in range(0, len(items), AT_ONCE):
            await self._connection.ask(partial(_remember, items[start : start + AT_ONCE]))

    async def claim(self, wanted: Sequence[tuple[str, str | None]]) -> Sequence[Answered | None]:
        """One by one: in a Cluster no two of them are in one place, and there are few."""
        return [await self._connection.ask(partial(_claim, request_id, consumer)) for request_id, consumer in wanted]


async def _remember(items: Sequence[tuple[str, Answered]], client: Redis) -> None:
    pipeline = client.pipeline(transaction=False)
    for request_id, answered in items:
        pipeline.set(_key(request_id), json.dumps(answered), ex=WITHIN, nx=True)
    await pipeline.execute()


async def _claim(request_id: str, consumer: str | None, client: Redis) -> Answered | None:
    asked: Any = client.eval(CLAIM, 1, _key(request_id), str(int(consumer is not None)), consumer or "")
    found = await asked
    return Answered(*json.loads(found)) if found else None


def _key(request_id: str) -> str:
    """Of one length, whatever a client has made up."""
    return PREFIX + hashlib.sha256(request_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]

"""A connection to Redis as decisions need it: in time or not at all, and back as soon as the server is.

Nothing is tried twice: a second try doubles the time that a request waits, and a judgement that was made although its
answer was lost would be made again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Events

TIMEOUT: Final = 0.05  # seconds, for each step; Envoy waits 500 ms for the whole decision
PATIENT: Final = 2.0  # for what nobody's request waits for: lists and changes
STEPS: Final = 2  # connecting, and asking
CONNECTIONS: Final = 64  # at once; with a millisecond for each answer, more than a worker decides
PROBE_EVERY: Final = 0.25
STORE_LOST: Final = "store_lost"
STORE_FOUND: Final = "store_found"
T = TypeVar("T")


class RedisConnection:
    """One for each server and process, shared by all that is kept there. `store` is its name in what is told."""

    def __init__(self, url: str, store: str, events: Events, timeout: float = TIMEOUT) -> None:
        """Nothing is opened yet. `url` has been checked by `config.redis_url`."""
        self._store = store
        self._events = events
        self._patience = timeout * STEPS
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(NoBackoff(), 0),
            protocol=2,  # no greeting, which would be a third step
            driver_info=None,
        )
        self._client: Redis = Redis.from_pool(pool)
        self._lost = False
        self._reached = False
        self._doubted = asyncio.Event()

    async def ask(self, question: Callable[[Redis], Awaitable[T]]) -> T:
        """Raises StoreUnavailable; at once, while the server is known to be gone: nobody waits for nothing."""
        if self._lost:
            raise StoreUnavailable(f"{self._store}: Redis does not answer")
        try:
            answer = await self._in_time(question)
        except StoreUnavailable:
            self._doubted.set()
            raise
        self._reached = True
        return answer

    def ready(self) -> bool:
        """Whether it was ever reached: an outage later on is told by what it refuses."""
        return self._reached

    async def tend(self) -> None:
        """Look for a server that is not there; one that is, is only looked at when somebody had no answer."""
        while True:
            self._doubted.clear()
            await self._probe()
            if self._lost:
                await asyncio.sleep(PROBE_EVERY)
            else:
                await self._doubted.wait()

    async def close(self) -> None:
        await self._client.aclose()

    async def _probe(self) -> None:
        try:
            await self._in_time(_ping)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the sidecar: others need no Redis
            self._now(lost=True, error=type(error).__name__ if not isinstance(error, StoreUnavailable) else str(error))
        else:
            self._reached = True
            self._now(lost=False)

    def _now(self, *, lost: bool, **fields: object) -> None:
        if lost != self._lost:
            self._lost = lost
            self._events.event(STORE_LOST if lost else STORE_FOUND, store=self._store, **fields)

    async def _in_time(self, question: Callable[[Redis], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(self._patience):
                return await question(self._client)
        except (RedisError, OSError) as error:  # among them TimeoutError; what they say names addresses and commands
            raise StoreUnavailable(f"{self._store}: Redis does not answer ({type(error).__name__})") from None


async def _ping(client: Redis) -> None:
    await client.ping()

"""A connection to Redis as decisions need it: in time or not at all, and back as soon as the server is.

Nothing is tried twice: a second try doubles the time that a request waits, and a judgement that was made although its
answer was lost would be made again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Events
from extproc.stores.redis_client import Client, client_of, close

TIMEOUT: Final = 0.05  # seconds, for each step; Envoy waits 500 ms for the whole decision
PATIENT: Final = 2.0  # for what nobody's request waits for: lists and changes
STEPS: Final = 2  # connecting, and asking
PROBE_EVERY: Final = 0.25
STORE_LOST: Final = "store_lost"
STORE_FOUND: Final = "store_found"
T = TypeVar("T")


class RedisConnection:
    """One for each server and process, shared by all that is kept there. `store` is its name in what is told."""

    def __init__(
        self,
        url: str,
        store: str,
        events: Events,
        timeout: float = TIMEOUT,
        deadline: float | None = None,
        script: bytes | None = None,
    ) -> None:
        """Nothing is opened yet. `url` has been checked by `config.redis_url`. `timeout` is for each step, `deadline`
        for all together of what a request waits for. `script` is loaded before anybody needs it."""
        self._store = store
        self._events = events
        self._patience = timeout * STEPS if deadline is None else deadline
        self._probe_patience = max(self._patience, timeout)  # no request waits for it, and it leaves a connection
        self._script = script
        self._client: Any = client_of(url, timeout)
        self._is_cluster = isinstance(self._client, RedisCluster)
        self._lost = False
        self._reached = False
        self._doubted = asyncio.Event()

    async def ask(self, question: Callable[[Redis], Awaitable[T]]) -> T:
        """Raises StoreUnavailable; at once, while the server is known to be gone: nobody waits for nothing."""
        if self._lost:
            raise StoreUnavailable(f"{self._store}: Redis does not answer")
        try:
            answer = await self._in_time(question, self._patience)
        except StoreUnavailable:
            self._doubted.set()
            raise
        self._reached = True
        return answer

    @property
    def is_cluster(self) -> bool:
        return self._is_cluster

    async def load(self, script: bytes) -> None:
        """In a Cluster, everywhere. Raises RedisError."""
        await self._client.script_load(script)

    async def reconnect(self) -> None:
        """To whoever is to be asked now: this one says that it is not."""
        if isinstance(self._client, RedisCluster):
            self._doubted.set()
        else:
            await self._client.connection_pool.disconnect()

    def doubt(self) -> None:
        """Somebody had no answer of a part of it: it is to be looked at."""
        self._doubted.set()

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
        await close(self._client)

    async def _probe(self) -> None:
        try:
            await self._in_time(self._look, self._probe_patience)
        except Exception as error:  # noqa: BLE001 - whatever it is, it must not end the sidecar: others need no Redis
            self._now(lost=True, error=type(error).__name__ if not isinstance(error, StoreUnavailable) else str(error))
        else:
            self._reached = True
            self._now(lost=False)

    async def _look(self, client: Client) -> None:
        if isinstance(client, RedisCluster):  # who has which slots now
            await client.initialize()
            await client.nodes_manager.initialize()
        await client.ping()
        if self._script is not None:
            with contextlib.suppress(RedisError):  # of a Cluster, a node may be gone, and the others are not
                await client.script_load(self._script)

    def _now(self, *, lost: bool, **fields: object) -> None:
        if lost != self._lost:
            self._lost = lost
            self._events.event(STORE_LOST if lost else STORE_FOUND, store=self._store, **fields)

    async def _in_time(self, question: Callable[[Redis], Awaitable[T]], patience: float) -> T:
        try:
            async with asyncio.timeout(patience):
                return await question(self._client)
        except (RedisError, OSError) as error:  # among them TimeoutError; what they say names addresses and commands
            raise StoreUnavailable(f"{self._store}: Redis does not answer ({type(error).__name__})") from None

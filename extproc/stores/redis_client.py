"""The client for each way in which a Redis may run: one server, one behind Sentinels, a Cluster.

With retries off: what is tried twice waits twice, and may charge twice. A Cluster's client follows a slot that has
moved, which is no retry: whoever said so had done nothing.
"""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff

from extproc.config.redis_url import RedisPlace, place_of

CONNECTIONS: Final = 64  # at once; with a millisecond for each answer, more than a worker decides
OF_EACH_NODE: Final = 256  # what has moved is asked for one by one
Client = Redis | RedisCluster


def client_of(url: str, timeout: float) -> Client:
    """Nothing is opened yet. `url` has been checked by `config.redis_url`; `timeout` is for each step."""
    place = place_of(url)
    if place is None:
        pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=timeout, **_options(timeout))
        return Redis.from_pool(pool)
    return _sentinels(place, timeout) if place.service else _cluster(place, timeout)


async def close(client: Client) -> None:
    await client.aclose()
    if isinstance(client, Redis):
        await client.connection_pool.disconnect()
        if isinstance(client.connection_pool, SentinelConnectionPool):
            await client.connection_pool.sentinel_manager.aclose()


def _options(timeout: float) -> dict[str, Any]:
    return {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # no greeting, which would be a third step
        "driver_info": None,
    }


def _credentials(place: RedisPlace) -> dict[str, Any]:
    return {"username": place.username or None, "password": place.password or None, "ssl": place.tls}


def _sentinels(place: RedisPlace, timeout: float) -> Redis:
    """The Sentinels themselves are asked without a password, as they come."""
    asked = {**_options(timeout), "ssl": place.tls}
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        place.hosts, sentinel_kwargs=asked, **_options(timeout)
    )
    client: Redis = sentinel.master_for(
        place.service, db=place.database, max_connections=CONNECTIONS, **_credentials(place)
    )
    return client


def _cluster(place: RedisPlace, timeout: float) -> RedisCluster:
    nodes = [ClusterNode(host, port) for host, port in place.hosts]
    return RedisCluster(startup_nodes=nodes, max_connections=OF_EACH_NODE, **_credentials(place), **_options(timeout))

"""Calendar counters in a Redis: by its time, with an end, and not at all where it does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from extproc.core.errors import StoreUnavailable
from extproc.core.windows import MOST, Addition, Unit
from extproc.stores.redis_connection import PATIENT, STEPS, STORE_FOUND, STORE_LOST, TIMEOUT, RedisConnection
from extproc.stores.window_redis import DIGEST, PREFIX, RedisWindows
from tests.core.test_counter_keys import APART
from tests.redis_servers import RedisServer
from tests.stores.key_stores import FakeEvents
from tests.stores.windows import before, one


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def events() -> FakeEvents:
    return FakeEvents()


@pytest.fixture
async def store(server: RedisServer, events: FakeEvents) -> AsyncIterator[RedisWindows]:
    """With more time than a decision has: most tests are not about that, and a machine may be busy."""
    opened = RedisWindows(RedisConnection(server.url, "limits", events, PATIENT))
    yield opened
    await opened.close()


@pytest.fixture
async def hasty(server: RedisServer, events: FakeEvents) -> AsyncIterator[RedisWindows]:
    opened = RedisWindows(RedisConnection(server.url, "limits", events))
    yield opened
    await opened.close()


@pytest.fixture
def client(server: RedisServer) -> Iterator[Any]:
    """redis-py types its answers for both of its clients."""
    with redis.Redis(unix_socket_path=str(server.socket)) as opened:
        yield opened


def keys(client: Any) -> list[bytes]:
    return sorted(client.scan_iter())


async def test_every_counter_has_an_end_and_a_bounded_name(store: RedisWindows, client: Any) -> None:
    await store.add(tuple(one(*("d", *key), unit=Unit.DAY) for key in APART))
    assert len(keys(client)) == len(APART)
    for key in keys(client):
        assert key.startswith(PREFIX)
        assert len(key) < 250
        assert 0 < client.ttl(key) <= Unit.DAY.value


@pytest.mark.parametrize("unit", list(Unit))
async def test_a_counter_ends_with_its_window(store: RedisWindows, client: Any, unit: Unit) -> None:
    counted = await store.add((one(unit=unit),))
    (key,) = keys(client)
    assert client.expiretime(key) == counted.now + unit.left(counted.now)


@pytest.mark.parametrize(("windows", "held"), [(-1, 0), (0, 5), (1, 5), (2, 0), (-3_600, 0), (3_600, 0)])
async def test_a_counter_of_another_window_counts_on_only_where_redis_was_set_back_a_little(
    store: RedisWindows, client: Any, windows: int, held: int
) -> None:
    counted = await store.add((one(unit=Unit.HOUR),))
    (key,) = keys(client)
    window = counted.now // Unit.HOUR.value + windows
    client.set(key, f"{window}:5")
    assert await before(store, one(unit=Unit.HOUR), one(unit=Unit.HOUR)) == (held, held + 1)


async def test_the_time_is_that_of_redis(store: RedisWindows, client: Any) -> None:
    first, _ = client.time()
    counted = await store.add((one(),))
    last, _ = client.time()
    assert first <= counted.now <= last


async def test_a_counter_is_written_in_digits_however_large_it_is(store: RedisWindows, client: Any) -> None:
    await store.add((one(hits=2**64 - 1),))
    (key,) = keys(client)
    assert client.get(key).endswith(b":%d" % MOST)


async def test_looking_writes_nothing(store: RedisWindows, client: Any) -> None:
    await store.add((one(hits=0),))
    assert keys(client) == []


async def test_a_script_that_redis_has_forgotten_is_sent_again(store: RedisWindows, client: Any) -> None:
    for held in range(3):
        assert await before(store, one(), one("d", "b")) == (held, held)
        assert client.script_exists(DIGEST) == [True]
        client.script_flush()


async def test_two_processes_count_together(server: RedisServer, store: RedisWindows) -> None:
    other = RedisWindows(RedisConnection(server.url, "limits", FakeEvents(), PATIENT))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(before(side, one())) for side in (store, other) for _ in range(100)]
    finally:
        await other.close()
    assert sorted(task.result()[0] for task in tasks) == list(range(200))


async def test_who_asks_at_once_is_asked_for_together_and_who_has_gone_takes_nobody_along(
    store: RedisWindows, client: Any
) -> None:
    await store.add((one(),))
    connected = client.info("clients")["connected_clients"]
    calls = [asyncio.ensure_future(before(store, one(), one("d", str(n)))) for n in range(50)]
    await asyncio.sleep(0)
    calls[7].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[7], asyncio.CancelledError)
    assert [answer for n, answer in enumerate(answers) if n != 7] == [(n + 1, 0) for n in range(50) if n != 7]
    assert client.info("clients")["connected_clients"] == connected


async def test_what_stands_where_a_counter_should_is_no_count(store: RedisWindows, client: Any) -> None:
    await store.add((one(),))
    (key,) = keys(client)
    client.set(key, "rubbish")
    other, failed = await asyncio.gather(
        before(store, one("d", "other")), before(store, one("d", "more"), one()), return_exceptions=True
    )
    assert other == (0,)
    assert str(failed) == "Redis cannot count (ResponseError)"
    assert isinstance(failed, StoreUnavailable)


async def test_a_redis_that_stalls_is_given_up_in_time_and_found_again(
    server: RedisServer, hasty: RedisWindows, events: FakeEvents
) -> None:
    await hasty.add((one(),))
    tended = asyncio.ensure_future(hasty.tend())
    server.stall()
    try:
        async with asyncio.timeout(TIMEOUT * STEPS * 10):
            with pytest.raises(StoreUnavailable):
                await hasty.add((one(),))
        await events.heard(STORE_LOST)
        with pytest.raises(StoreUnavailable):
            await hasty.add((one(),))
    finally:
        server.go_on()
    await events.heard(STORE_FOUND)
    (held,) = await before(hasty, one())
    assert held in (1, 2)  # what was asked before it stalled may have been done: counted, and never twice
    tended.cancel()
    await asyncio.gather(tended, return_exceptions=True)


async def test_a_redis_that_was_killed_is_used_again_when_it_is_back(
    server: RedisServer, store: RedisWindows, events: FakeEvents
) -> None:
    await store.add((one(),))
    tended = asyncio.ensure_future(store.tend())
    server.stop()
    failed = await asyncio.gather(*(before(store, one()) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [StoreUnavailable] * 3
    await events.heard(STORE_LOST)
    server.start()
    await events.heard(STORE_FOUND)
    assert await before(store, one()) == (0,)
    tended.cancel()
    await asyncio.gather(tended, return_exceptions=True)


async def test_it_is_ready_once_it_was_reached(server: RedisServer, store: RedisWindows) -> None:
    assert not store.ready()
    await store.add((Addition(("d",), Unit.DAY, 1),))
    assert store.ready()

"""Keys in a Redis that is away, slow, wrong or back again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import orjson
import pytest
import redis

from extproc.app.key_store import KEYS, open_key_ledger
from extproc.core.api_key import digest
from extproc.core.errors import StoreUnavailable
from extproc.core.message import Consumer
from extproc.stores.key_changes import Rotation, UnknownKey
from extproc.stores.key_entry import KeyEntry
from extproc.stores.redis_connection import PROBE_EVERY, STEPS, STORE_FOUND, STORE_LOST, TIMEOUT, RedisConnection
from extproc.stores.redis_keys import HASH, REMEMBER, RedisKeys
from extproc.testing import FakeClock
from tests.redis_servers import PASSWORD, RedisServer
from tests.stores.key_stores import FakeEvents, entry_of, ids, key_of

PATIENCE: Final = 10.0
KEPT: Final = REMEMBER / 1e9


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def events() -> FakeEvents:
    return FakeEvents()


@pytest.fixture
async def keys(server: RedisServer, clock: FakeClock, events: FakeEvents) -> AsyncIterator[RedisKeys]:
    connection, patient = (RedisConnection(server.url, KEYS, events) for _ in range(2))
    opened = RedisKeys(connection, patient, clock)
    yield opened
    await opened.close()


def directly(server: RedisServer) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(server.socket))


async def consumer_of(keys: RedisKeys, number: int) -> Consumer | None:
    return await keys.consumer_of(digest(key_of(number)))


async def until(keys: RedisKeys, number: int, *, answers: bool) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await consumer_of(keys, number)
            except StoreUnavailable:
                if not answers:
                    return
            else:
                if answers:
                    return
            await asyncio.sleep(0)


async def test_redis_holds_digests_only(keys: RedisKeys, server: RedisServer) -> None:
    await keys.add(entry_of(1, consumer="acme"))
    with directly(server) as client:
        assert client.keys() == [HASH.encode()]
        (field, value), *rest = client.hgetall(HASH).items()
    assert rest == []
    assert field.decode() == digest(key_of(1))
    assert orjson.loads(value) == {"sha256": digest(key_of(1)), "consumer": "acme"}
    assert key_of(1).encode() not in field + value


async def test_an_answer_is_believed_for_half_a_second_and_no_longer(
    keys: RedisKeys, server: RedisServer, clock: FakeClock
) -> None:
    await keys.add(entry_of(1))
    assert await consumer_of(keys, 1) is not None
    assert await consumer_of(keys, 2) is None
    with directly(server) as client:  # another sidecar's command
        client.hdel(HASH, digest(key_of(1)))
        client.hset(HASH, digest(key_of(2)), orjson.dumps(entry_of(2).written()))
    clock.advance(KEPT - 0.01)
    assert await consumer_of(keys, 1) is not None
    assert await consumer_of(keys, 2) is None
    clock.advance(0.01)
    assert await consumer_of(keys, 1) is None
    assert await consumer_of(keys, 2) == Consumer("consumer-2")


def test_what_is_remembered_and_the_wait_for_an_answer_are_within_a_second() -> None:
    assert KEPT + TIMEOUT * STEPS < 1
    assert PROBE_EVERY + TIMEOUT * STEPS < 1


async def test_what_is_remembered_is_bounded(keys: RedisKeys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extproc.stores.redis_keys.REMEMBERED", 5)
    for number in range(20):
        await consumer_of(keys, number)
    assert len(keys._remembered) == 5


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"acme", orjson.dumps(entry_of(2).written()), b"\xff"])
async def test_an_entry_that_is_none_is_an_outage_and_nobody(
    keys: RedisKeys, server: RedisServer, value: bytes
) -> None:
    with directly(server) as client:
        client.hset(HASH, digest(key_of(1)), value)
    with pytest.raises(StoreUnavailable, match="is no key's entry"):
        await consumer_of(keys, 1)
    with pytest.raises(StoreUnavailable):
        await keys.entries()


async def test_a_store_that_holds_something_else_is_an_outage(keys: RedisKeys, server: RedisServer) -> None:
    with directly(server) as client:
        client.set(HASH, "x")
    with pytest.raises(StoreUnavailable):
        await consumer_of(keys, 1)


async def test_a_key_that_is_revoked_in_the_middle_of_its_rotation_does_not_come_back(
    keys: RedisKeys, server: RedisServer
) -> None:
    await keys.add(entry_of(1))
    asked: list[str] = []

    def revoked_meanwhile(old: KeyEntry) -> Rotation:
        asked.append(old.id)
        with directly(server) as client:
            client.hdel(HASH, old.sha256)
        return Rotation(old, entry_of(2))

    with pytest.raises(UnknownKey):
        await keys.rotate(entry_of(1).id, revoked_meanwhile)
    assert asked == [entry_of(1).id]
    assert list(await keys.entries()) == []


async def test_a_rotation_that_others_were_quicker_than_is_made_again(keys: RedisKeys, server: RedisServer) -> None:
    await keys.add(entry_of(1))
    asked: list[str] = []

    def changed_meanwhile(old: KeyEntry) -> Rotation:
        asked.append(old.id)
        if len(asked) == 1:
            with directly(server) as client:
                client.hset(HASH, entry_of(3).sha256, orjson.dumps(entry_of(3).written()))
        return Rotation(old, entry_of(2))

    await keys.rotate(entry_of(1).id, changed_meanwhile)
    assert len(asked) == 2
    assert ids(await keys.entries()) == ids([entry_of(1), entry_of(2), entry_of(3)])


async def test_nothing_is_opened_until_it_is_asked_and_nobody_is_ready_before(
    tmp_path: Path, clock: FakeClock, events: FakeEvents
) -> None:
    connection = RedisConnection(f"unix://{tmp_path}/none.sock", KEYS, events)
    keys = RedisKeys(connection, connection, clock)
    assert not keys.ready()
    with pytest.raises(StoreUnavailable, match=r"^keys: Redis does not answer \(\w+\)$"):
        await consumer_of(keys, 1)
    assert not keys.ready()
    await keys.close()


async def test_a_server_that_goes_away_is_an_outage_told_once_and_it_is_found_again_by_itself(
    keys: RedisKeys, server: RedisServer, clock: FakeClock, events: FakeEvents
) -> None:
    await keys.add(entry_of(1))
    async with asyncio.TaskGroup() as group:
        tending = group.create_task(keys.tend())
        await until(keys, 1, answers=True)
        assert keys.ready()
        server.stop()
        clock.advance(KEPT)
        await until(keys, 1, answers=False)
        await events.heard(STORE_LOST)
        with pytest.raises(StoreUnavailable, match=r"^keys: Redis does not answer$"):
            await consumer_of(keys, 2)
        assert keys.ready(), "an outage is told by what it refuses, not by taking every replica away at once"
        server.start()
        await until(keys, 1, answers=True)
        assert events.names == [STORE_LOST, STORE_FOUND]
        tending.cancel()


async def test_a_server_that_answers_nothing_is_given_up_in_time_and_found_again(
    keys: RedisKeys, server: RedisServer, clock: FakeClock, events: FakeEvents
) -> None:
    await keys.add(entry_of(1))
    assert await consumer_of(keys, 1) is not None
    clock.advance(KEPT)
    server.stall()
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(StoreUnavailable):
            await consumer_of(keys, 1)
    server.go_on()
    await until(keys, 1, answers=True)
    assert await consumer_of(keys, 1) == Consumer("consumer-1")


async def test_a_caller_that_is_gone_leaves_the_connection_usable(
    keys: RedisKeys, server: RedisServer, clock: FakeClock
) -> None:
    """Envoy's deadline cancels a call: its answer must not be taken for the next one's."""
    for number in (1, 2):
        await keys.add(entry_of(number))
    for _ in range(20):
        clock.advance(KEPT)
        asked = asyncio.ensure_future(consumer_of(keys, 1))
        await asyncio.sleep(0)
        asked.cancel()
        assert await consumer_of(keys, 2) == Consumer("consumer-2")


async def test_a_password_is_used_and_in_no_error(tmp_path: Path, clock: FakeClock, events: FakeEvents) -> None:
    with RedisServer(tmp_path, password=PASSWORD) as guarded:
        ledger = open_key_ledger(guarded.url, clock, events)
        await ledger.add(entry_of(1))
        assert ids(await ledger.entries()) == [entry_of(1).id]
        await ledger.close()
        wrong = open_key_ledger(guarded.url.replace(PASSWORD, "not-" + PASSWORD), clock, events)
        with pytest.raises(StoreUnavailable) as refused:
            await wrong.entries()
        await wrong.close()
        assert PASSWORD not in str(refused.value)

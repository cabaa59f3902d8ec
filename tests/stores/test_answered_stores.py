"""Which requests were answered lately: claimed once, by whose they are, for a time, and by however many sidecars."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from extproc.core.feedback import WITHIN, Answered
from extproc.core.ports import AnswerStore
from extproc.stores.answered_memory import MemoryAnswers
from extproc.stores.answered_redis import PREFIX, RedisAnswers
from extproc.stores.redis_connection import RedisConnection
from extproc.testing import FakeClock
from tests.redis_groups import cluster
from tests.redis_servers import RedisServer
from tests.stores.key_stores import FakeEvents

ANSWERED = Answered("chat", "v1", 1_790_000_000, "acme")
Make = Callable[[], AnswerStore]


@pytest.fixture(params=["memory", "redis", "cluster"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    if request.param == "memory":
        only = MemoryAnswers(FakeClock())
        yield lambda: only
    elif request.param == "redis":
        with RedisServer(tmp_path) as server:
            async for made in opened(server.url):
                yield made
    else:
        cluster().flush()
        async for made in opened(cluster().url):
            yield made


async def opened(url: str) -> AsyncIterator[Make]:
    connections = [RedisConnection(url, "evidence", FakeEvents(), 2.0) for _ in range(2)]
    stores = iter(connections)
    yield lambda: RedisAnswers(next(stores))
    for connection in connections:
        await connection.close()


async def test_an_answer_is_claimed_once_wherever_it_was_remembered(make: Make) -> None:
    one, other = make(), make()
    await one.remember({"id": ANSWERED, "more": ANSWERED._replace(version="v2")})
    assert await other.claim([("id", "acme"), ("more", "acme"), ("none", "acme")]) == [
        ANSWERED, ANSWERED._replace(version="v2"), None,
    ]  # fmt: skip
    assert await one.claim([("id", "acme"), ("id", None)]) == [None, None]


@pytest.mark.parametrize("consumer", ["mallory", "", "acm", "acme "])
async def test_somebody_else_gets_nothing_and_takes_nothing_away(make: Make, consumer: str) -> None:
    store = make()
    await store.remember({"id": ANSWERED})
    assert await store.claim([("id", consumer)]) == [None]
    assert await store.claim([("id", "acme")]) == [ANSWERED]


async def test_who_may_speak_for_anybody_names_no_consumer(make: Make) -> None:
    store = make()
    await store.remember({"id": ANSWERED, "open": ANSWERED._replace(consumer="")})
    assert await store.claim([("id", None), ("open", None)]) == [ANSWERED, ANSWERED._replace(consumer="")]


@pytest.mark.parametrize("name", ["", "a b", "\x00", "ü", "\ud800", "x" * 10_000, "*"])
async def test_any_text_is_an_id_like_others(make: Make, name: str) -> None:
    store = make()
    await store.remember({name: ANSWERED})
    assert await store.claim([("other", None), (name, "acme")]) == [None, ANSWERED]


async def test_memory_is_bounded_and_forgets_in_time() -> None:
    clock = FakeClock()
    store = MemoryAnswers(clock, most=1_000)
    for number in range(100_000):
        await store.remember({f"id-{number}": ANSWERED})
    assert len(store) == 1_000
    assert await store.claim([("id-0", None), ("id-99999", None)]) == [None, ANSWERED]
    clock.advance(WITHIN)
    assert await store.claim([("id-99998", None)]) == [None]
    await store.remember({"another": ANSWERED})
    assert len(store) == 1


async def test_every_key_in_redis_ends_by_itself_and_is_as_long_as_any_other(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        connection = RedisConnection(server.url, "evidence", FakeEvents(), 2.0)
        store = RedisAnswers(connection)
        await store.remember({"id": ANSWERED, "x" * 10_000: ANSWERED})
        await store.claim([("id", "acme")])
        await connection.close()
        client = redis.Redis.from_url(server.url)
        keys = client.keys()
        assert isinstance(keys, list)
        assert {len(key) for key in keys} == {len(PREFIX) + 32}
        assert all(0 < int(client.ttl(key)) <= WITHIN for key in keys)
        client.close()

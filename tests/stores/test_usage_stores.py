"""Where sums of usage are kept: in a file beside the quotas, or in a Redis."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from extproc.app.usage import SAVED_AGAIN, USAGE_UNSAVED, UsageKept
from extproc.core.errors import StoreUnavailable
from extproc.core.usage import HOUR, Usage, UsageStore, Used
from extproc.stores.memory import MemoryCounters
from extproc.stores.quota_file import QuotaFile
from extproc.stores.redis_connection import RedisConnection
from extproc.stores.redis_usage import PREFIX, RedisUsage
from extproc.stores.usage_file import UsageFile
from extproc.testing import FakeClock
from tests.redis_servers import RedisServer
from tests.stores.key_stores import FakeEvents

KEEP = 48 * HOUR
Make = Callable[[], UsageStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(seconds=4_000_000_000.0)  # Redis has a clock of its own, by which it ends what is over


@pytest.fixture(params=["file", "redis"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Make]:
    """Several stores of one place, as several sidecars have."""
    if request.param == "file":
        yield lambda: UsageFile(tmp_path / "quotas.sqlite", KEEP, clock)
        return
    with RedisServer(tmp_path) as server:
        connections = [RedisConnection(server.url, "usage", FakeEvents(), 2.0) for _ in range(2)]
        stores = iter(connections)
        yield lambda: RedisUsage(next(stores), KEEP, clock)
        for connection in connections:
            await connection.close()


def hour(clock: FakeClock) -> int:
    return int(clock.now()) - int(clock.now()) % HOUR


def used(clock: FakeClock, consumer: str = "acme", back: int = 0) -> Used:
    return Used(hour(clock) - back * HOUR, consumer, "free", "orders", "2xx")


async def test_what_is_added_is_summed_up_over_all_that_add(make: Make, clock: FakeClock) -> None:
    one, other = make(), make()
    await one.add({used(clock): Usage(2, 300, 4_000, 5), used(clock, "bolt"): Usage()})
    await other.add({used(clock): Usage(1, 1, 1, 1)})
    assert await one.since(0) == {used(clock): Usage(3, 301, 4_001, 6), used(clock, "bolt"): Usage()}


@pytest.mark.parametrize("name", ["", "a b", '"', "ü", "\ud800", "\n", "a" * 200, "'; DROP TABLE usage; --"])
async def test_any_name_is_kept_apart(make: Make, clock: FakeClock, name: str) -> None:
    store = make()
    await store.add({used(clock, name): Usage(1), used(clock, "other"): Usage(2)})
    assert sorted(usage.requests for usage in (await store.since(0)).values()) == [1, 2]


async def test_the_sums_since_a_moment_are_those_from_its_hour_on(make: Make, clock: FakeClock) -> None:
    store = make()
    await store.add({used(clock, back=back): Usage(back + 1) for back in range(5)})
    found = await store.since(hour(clock) - 2 * HOUR + 17)
    assert sorted(usage.requests for usage in found.values()) == [1, 2, 3]


async def test_nothing_was_used_where_nothing_was_written(make: Make) -> None:
    assert await make().since(0) == {}


async def test_sums_that_are_too_old_are_gone_from_the_file(tmp_path: Path, clock: FakeClock) -> None:
    store = UsageFile(tmp_path / "quotas.sqlite", KEEP, clock)
    await store.add({used(clock): Usage()})
    clock.advance(KEEP + 2 * HOUR)
    await store.add({used(clock): Usage()})
    with sqlite3.connect(tmp_path / "quotas.sqlite") as database:
        assert database.execute("SELECT count(*) FROM usage").fetchone() == (1,)


async def test_versions_of_models_are_summed_apart(make: Make, clock: FakeClock) -> None:
    store = make()
    versions = [used(clock)._replace(model="chat", version=version) for version in ("v1", "v2")]
    await store.add({versions[0]: Usage(1), versions[1]: Usage(2), used(clock): Usage(4)})
    await store.add({versions[1]: Usage(2)})
    assert await store.since(0) == {versions[0]: Usage(1), versions[1]: Usage(4), used(clock): Usage(4)}


OLD_TABLE = """
CREATE TABLE usage (
    hour INTEGER, consumer TEXT, tier TEXT, route TEXT, status TEXT,
    requests INTEGER NOT NULL, bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL, tokens INTEGER NOT NULL,
    PRIMARY KEY (hour, consumer, tier, route, status)
) WITHOUT ROWID
"""


async def test_a_file_of_before_there_were_models_is_read_and_taken_over(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "quotas.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(OLD_TABLE)
        database.execute("INSERT INTO usage VALUES (?, 'acme', 'free', 'orders', '2xx', 3, 30, 300, 9)", (hour(clock),))
    store = UsageFile(file, KEEP, clock)
    assert await store.since(0) == {used(clock): Usage(3, 30, 300, 9)}
    version = used(clock)._replace(model="chat", version="v1")
    for _ in range(2):
        await store.add({used(clock): Usage(1), version: Usage(5)})
    assert await store.since(0) == {used(clock): Usage(5, 30, 300, 9), version: Usage(10)}
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'usage%'").fetchall() == [("usage",)]


async def test_a_file_that_cannot_be_taken_over_stays_as_it_was(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "quotas.sqlite"
    with sqlite3.connect(file) as database:
        database.execute(OLD_TABLE.replace("tokens INTEGER NOT NULL", "tokens INTEGER"))
        database.execute(
            "INSERT INTO usage VALUES (?, 'acme', 'free', 'orders', '2xx', 3, 30, 300, NULL)", (hour(clock),)
        )
    store = UsageFile(file, KEEP, clock)
    with pytest.raises(StoreUnavailable):
        await store.add({used(clock): Usage(1)})
    assert [usage.requests for usage in (await store.since(0)).values()] == [3]
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'usage%'").fetchall() == [("usage",)]


async def test_fields_of_before_there_were_models_are_read_and_added_to(tmp_path: Path, clock: FakeClock) -> None:
    with RedisServer(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        client.hset(f"{PREFIX}{hour(clock)}", 'requests ["acme","free","orders","2xx"]', "3")
        connection = RedisConnection(server.url, "usage", FakeEvents(), 2.0)
        store = RedisUsage(connection, KEEP, clock)
        await store.add({used(clock): Usage(1)})
        assert await store.since(0) == {used(clock): Usage(4)}
        await connection.close()
        client.close()


async def test_every_hash_in_redis_ends_by_itself(tmp_path: Path, clock: FakeClock) -> None:
    with RedisServer(tmp_path) as server:
        connection = RedisConnection(server.url, "usage", FakeEvents(), 2.0)
        await RedisUsage(connection, KEEP, clock).add({used(clock): Usage(1, 2, 3, 4)})
        await connection.close()
        client = redis.Redis.from_url(server.url)
        assert client.keys() == [f"{PREFIX}{hour(clock)}".encode()]
        assert client.expiretime(f"{PREFIX}{hour(clock)}") == hour(clock) + HOUR + KEEP
        client.close()


async def test_usage_and_quotas_share_a_file(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "quotas.sqlite"
    quotas = QuotaFile(file, MemoryCounters(clock), clock, FakeEvents())
    tending = asyncio.ensure_future(quotas.tend())
    store = UsageFile(file, KEEP, clock)
    await store.add({used(clock): Usage()})
    await quotas.flush()
    tending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tending
    assert await store.since(0) == {used(clock): Usage()}


async def test_what_cannot_be_saved_is_told_once_kept_and_saved_later(tmp_path: Path, clock: FakeClock) -> None:
    folder, events = tmp_path / "later", FakeEvents()
    kept = UsageKept(UsageFile(folder / "quotas.sqlite", KEEP, clock), events)
    for _ in range(3):
        kept.add(used(clock), Usage())
        await kept.save()
    folder.mkdir()
    assert await kept.since(0) == {used(clock): Usage(3)}
    assert [name for name, _ in events.told] == [USAGE_UNSAVED, SAVED_AGAIN]


async def test_what_is_left_is_saved_at_the_end(make: Make, clock: FakeClock) -> None:
    store = make()
    assert isinstance(store, UsageFile | RedisUsage)
    kept = UsageKept(store, FakeEvents())
    tending = asyncio.ensure_future(kept.tend())
    await asyncio.sleep(0)
    kept.add(used(clock), Usage(7))
    tending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await tending
    assert await make().since(0) == {used(clock): Usage(7)}


async def test_a_file_that_is_none_is_an_outage_of_usage_alone(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "quotas.sqlite").write_text("this is no database, whatever its name says")
    with pytest.raises(StoreUnavailable):
        await UsageFile(tmp_path / "quotas.sqlite", KEEP, clock).since(0)

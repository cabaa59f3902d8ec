"""Where evidence is kept: in memory, or in a Redis or a Cluster that several sidecars share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis

from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import GRAINS, MOST_POINTS, Evidence, Told
from extproc.core.ports import EvidenceStore
from extproc.stores.evidence_memory import BATCHES, MemoryEvidence
from extproc.stores.evidence_redis import PREFIX, RedisEvidence
from extproc.stores.redis_connection import RedisConnection
from extproc.testing import FakeClock
from tests.core.evidence_cases import one_request, one_score
from tests.redis_groups import cluster
from tests.redis_servers import RedisServer
from tests.stores.key_stores import FakeEvents

NOW = 4_000_000_020  # Redis has a clock of its own, by which it ends what is over
ONE = one_request(0.25, tokens=3)
Make = Callable[[], EvidenceStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(seconds=float(NOW))


@pytest.fixture(params=["memory", "redis", "cluster"])
async def make(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Make]:
    """Several stores of one place, as several sidecars have; memory is one place for itself."""
    if request.param == "memory":
        only = MemoryEvidence(clock)
        yield lambda: only
    elif request.param == "redis":
        with RedisServer(tmp_path) as server:
            async for made in opened(server.url, clock):
                yield made
    else:
        cluster().flush()
        async for made in opened(cluster().url, clock):
            yield made


async def opened(url: str, clock: FakeClock) -> AsyncIterator[Make]:
    connections = [RedisConnection(url, "evidence", FakeEvents(), 2.0) for _ in range(2)]
    stores = iter(connections)
    yield lambda: RedisEvidence(next(stores), clock)
    for connection in connections:
        await connection.close()


def told(version: str = "v1", model: str = "chat", back: int = 0) -> Told:
    return Told(model, version, NOW - back)


async def test_what_several_sidecars_tell_is_added_up_by_version(make: Make) -> None:
    one, other = make(), make()
    await one.add({told(): ONE, told("v2"): one_request(1.0, error=True)}, "a")
    await other.add({told(): ONE + one_score(0.25)}, "b")
    found = await one.of("chat", NOW - 10, NOW + 1)
    assert found == {"v1": ONE + ONE + one_score(0.25), "v2": one_request(1.0, error=True)}
    assert await other.of("another", NOW - 10, NOW + 1) == {}


async def test_scores_are_added_up_to_a_millionth(make: Make) -> None:
    store = make()
    for batch, score in enumerate((0.1, 0.2, 0.7)):
        await store.add({told(): one_score(score)}, str(batch))
    found = (await store.of("chat", NOW, NOW + 1))["v1"]
    assert found.scores == 3
    assert found.score_sum == pytest.approx(1.0, abs=1e-6)
    assert found.score_squares == pytest.approx(0.54, abs=1e-6)


async def test_a_batch_that_is_told_again_is_added_once(make: Make) -> None:
    one, other = make(), make()
    sums = {told(back=back): ONE for back in range(100)}
    for store in (one, one, other):
        await store.add(sums, "a batch")
    await one.add(sums, "the next")
    assert (await one.of("chat", NOW - 200, NOW + 1))["v1"].requests == 200


async def test_a_stretch_is_what_began_in_it(make: Make) -> None:
    store = make()
    await store.add({told(back=back): ONE for back in range(300)}, "a")
    assert (await store.of("chat", NOW - 250, NOW - 150))["v1"].requests == 100
    assert (await store.of("chat", NOW - 7, NOW - 5))["v1"].requests == 2
    assert await store.of("chat", NOW + 1, NOW + 5) == {}
    assert await store.of("chat", NOW, NOW - 5) == {}


async def test_what_is_older_is_kept_by_the_minute_and_by_the_hour_until_it_is_over(
    make: Make, clock: FakeClock
) -> None:
    store = make()
    await store.add({told(): ONE}, "a")
    for age, found in [(2_000, 1), (2 * 86_400, 1), (15 * 86_400, 0)]:
        clock.advance(NOW + age - clock.now())
        of = await store.of("chat", 0, NOW + age)
        assert sum(evidence.requests for evidence in of.values()) == found


async def test_what_is_told_late_is_added_to_what_is_still_kept(make: Make) -> None:
    store = make()
    await store.add({told(back=5_000): ONE, told(back=GRAINS[-1].kept + 10): ONE}, "late")
    assert (await store.of("chat", NOW - 20_000, NOW))["v1"].requests == 1


async def test_a_series_is_the_same_in_steps(make: Make) -> None:
    store = make()
    await store.add({told(back=back): ONE for back in range(1, 31)}, "a")
    await store.add({told("v2", back=4): ONE}, "b")
    series = await store.series("chat", NOW - 40, NOW, 10)
    assert [begin for begin, _ in series] == [NOW - 40, NOW - 30, NOW - 20, NOW - 10]
    assert [{version: one.requests for version, one in found.items()} for _, found in series] == [
        {}, {"v1": 10}, {"v1": 10}, {"v1": 10, "v2": 1},
    ]  # fmt: skip
    with pytest.raises(ValueError, match="points"):
        await store.series("chat", 0, MOST_POINTS + 1, 1)


async def test_a_sum_that_is_full_stays_and_everything_else_counts(make: Make) -> None:
    store = make()
    await store.add({told(): Evidence(1, tokens=2**62)}, "a")
    await store.add({told(): Evidence(1, tokens=2**62)}, "b")
    found = (await store.of("chat", NOW, NOW + 1))["v1"]
    assert found.requests == 2
    assert found.tokens >= 2**62


async def test_every_key_in_redis_ends_by_itself(tmp_path: Path, clock: FakeClock) -> None:
    with RedisServer(tmp_path) as server:
        connection = RedisConnection(server.url, "evidence", FakeEvents(), 2.0)
        await RedisEvidence(connection, clock).add({told(): ONE}, "a")
        await connection.close()
        client = redis.Redis.from_url(server.url)
        keys = client.keys()
        assert isinstance(keys, list)
        assert len(keys) == len(GRAINS) + 1
        assert all(key.startswith(PREFIX.encode()) and int(client.ttl(key)) > 0 for key in keys)  # type: ignore[arg-type]
        client.close()


async def test_a_redis_that_is_away_is_an_outage_of_evidence_and_counts_once_when_it_is_back(
    tmp_path: Path, clock: FakeClock
) -> None:
    with RedisServer(tmp_path) as server:
        connection = RedisConnection(server.url, "evidence", FakeEvents(), 0.2)
        store = RedisEvidence(connection, clock)
        server.stall()
        with pytest.raises(StoreUnavailable):
            await store.add({told(): ONE}, "a")
        server.go_on()
        tending = asyncio.ensure_future(connection.tend())
        await until_added(store)
        tending.cancel()
        assert (await store.of("chat", NOW, NOW + 1))["v1"].requests == 1
        await connection.close()


async def until_added(store: EvidenceStore) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await store.add({told(): ONE}, "a")
            except StoreUnavailable:
                await asyncio.sleep(0.05)
            else:
                return


async def test_memory_is_bounded_by_time(clock: FakeClock) -> None:
    store = MemoryEvidence(clock)
    for second in range(3 * GRAINS[0].kept):
        clock.advance(1)
        await store.add({Told("chat", "v1", NOW + second): ONE}, f"batch {second}")
    assert len(store) <= GRAINS[0].kept + 60 + 3 * GRAINS[0].kept // 60 + 5
    assert len(store._batches) == BATCHES

"""Where rollouts are kept: in a file, or in a Redis that sidecars share. One suite for both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from extproc.core.errors import StoreUnavailable
from extproc.core.guard import Trial
from extproc.core.rollout import OPERATOR, Rollout
from extproc.core.rollout_changes import planned, rolled_back, with_shares
from extproc.core.sequential import BEGINNING, Counted, worse_share
from extproc.stores.redis_connection import RedisConnection
from extproc.stores.rollout_entry import MOST_CHANGES, RolloutStore
from extproc.stores.rollout_file import RolloutFile
from extproc.stores.rollout_redis import LEADER, STATES, RedisRollouts
from tests import redis_groups
from tests.core.rollouts import NOW, RULES, begun
from tests.redis_servers import RedisServer
from tests.stores.key_stores import FakeEvents

Make = Callable[[], RolloutStore]
FIRST, PLANNED = planned(RULES, None, NOW)


@pytest.fixture(params=["file", "redis", "cluster"])
async def make(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Make]:
    """Several stores of one place, as several sidecars have."""
    made: list[RolloutStore] = []

    def keep(store: RolloutStore) -> RolloutStore:
        made.append(store)
        return store

    if request.param == "file":
        yield lambda: keep(RolloutFile(tmp_path / "rollouts.json"))
        for store in made:
            await store.close()
        return
    if request.param == "cluster":
        group = redis_groups.cluster()
        group.flush()
        yield lambda: keep(RedisRollouts(RedisConnection(group.url, "rollouts", FakeEvents(), 2.0)))
        for store in made:
            await store.close()
        return
    with RedisServer(tmp_path) as server:
        yield lambda: keep(RedisRollouts(RedisConnection(server.url, "rollouts", FakeEvents(), 2.0)))
        for store in made:
            await store.close()


async def test_what_is_kept_is_read_by_everybody_as_it_was(make: Make) -> None:
    one, other = make(), make()
    assert await one.read() == {}
    assert await one.change(FIRST, PLANNED, 0, leading=False)
    assert await other.read() == {"recommend": FIRST}
    after, change = with_shares(FIRST, {"v2": 1_234}, "a reason with 'ü' and \n", NOW + 1)
    assert await other.change(after, change, FIRST.generation, leading=False)
    assert await one.read() == {"recommend": after}
    assert await one.history("recommend") == [change, PLANNED]
    assert await one.history("another") == []


async def test_of_two_who_know_the_same_generation_one_is_told_no(make: Make) -> None:
    one, other = make(), make()
    await one.change(FIRST, PLANNED, 0, leading=False)
    mine, theirs = with_shares(FIRST, {"v2": 1}, "", NOW), with_shares(FIRST, {"v2": 2}, "", NOW)
    done = await asyncio.gather(
        one.change(*mine, FIRST.generation, leading=False), other.change(*theirs, FIRST.generation, leading=False)
    )
    assert sorted(done) == [False, True]
    assert len(await one.history("recommend")) == 2
    assert not await one.change(FIRST, PLANNED, 0, leading=False), "there is something already"


async def test_one_leads_and_another_when_it_has_gone(make: Make) -> None:
    one, other = make(), make()
    assert (await one.lead(), await other.lead(), await one.lead()) == (True, False, True)
    await one.close()
    assert await other.lead()


async def test_who_does_not_lead_changes_nothing_as_a_leader(make: Make) -> None:
    one, other = make(), make()
    await one.change(FIRST, PLANNED, 0, leading=False)
    assert await one.lead()
    after, change = rolled_back(FIRST, OPERATOR, "", NOW)
    assert not await other.change(after, change, FIRST.generation, leading=True)
    assert not await other.keep("recommend", Trial(1, 0.0))
    assert await one.read() == {"recommend": FIRST}
    assert await one.change(after, change, FIRST.generation, leading=True)


async def test_what_the_tests_know_outlives_the_leader(make: Make) -> None:
    one, other = make(), make()
    trial = Trial(
        3, NOW + 0.5, NOW, {"compare.error_rate": worse_share(BEGINNING, Counted(9, 1), Counted(99, 2), 0.01)}
    )
    assert await one.trial("recommend") is None
    assert await one.lead()
    assert await one.keep("recommend", trial)
    await one.close()
    assert await other.trial("recommend") == trial


async def test_the_history_is_bounded(make: Make) -> None:
    store, rollout = make(), FIRST
    await store.change(rollout, PLANNED, 0, leading=False)
    for turn in range(MOST_CHANGES + 5):
        after, change = with_shares(rollout, {"v2": turn}, "", NOW + turn)
        await store.change(after, change, rollout.generation, leading=False)
        rollout = after
    told = await store.history("recommend")
    assert [change.generation for change in told] == list(
        range(rollout.generation, rollout.generation - MOST_CHANGES, -1)
    )


async def test_models_do_not_touch_each_other(make: Make) -> None:
    store = make()
    other: Rollout = replace(begun(), model="another")
    await store.change(FIRST, PLANNED, 0, leading=False)
    await store.change(other, replace(PLANNED, model="another"), 0, leading=False)
    assert await store.read() == {"recommend": FIRST, "another": other}
    assert [change.model for change in await store.history("another")] == ["another"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"rollouts": []}', '{"rollouts": {"recommend": {}}}', "nul\0"])
async def test_a_file_that_is_none_is_no_rollout_and_stays_as_it_is(content: str, tmp_path: Path) -> None:
    file = tmp_path / "rollouts.json"
    file.write_text(content)
    store = RolloutFile(file)
    with pytest.raises(StoreUnavailable):
        await store.read()
    with pytest.raises(StoreUnavailable):
        await store.change(FIRST, PLANNED, 0, leading=False)
    assert file.read_text() == content


async def test_shares_that_do_not_add_up_are_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "rollouts.json"
    store = RolloutFile(file)
    await store.change(FIRST, PLANNED, 0, leading=False)
    file.write_text(file.read_text().replace('"v1": 10000', '"v1": 9999', 1))
    with pytest.raises(StoreUnavailable):
        await store.read()


async def test_a_file_that_cannot_be_written_is_told_with_its_name(tmp_path: Path) -> None:
    store = RolloutFile(tmp_path / "nowhere" / "rollouts.json")
    with pytest.raises(StoreUnavailable, match="nowhere"):
        await store.change(FIRST, PLANNED, 0, leading=False)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    await RolloutFile(tmp_path / "rollouts.json").change(FIRST, PLANNED, 0, leading=False)
    assert (tmp_path / "rollouts.json").stat().st_mode & 0o777 == 0o600


async def test_a_leader_whose_lease_has_ended_changes_nothing_any_more(tmp_path: Path) -> None:
    """A process that was stopped and goes on believes that it leads still."""
    with RedisServer(tmp_path) as server:
        stores = [RedisRollouts(RedisConnection(server.url, "rollouts", FakeEvents(), 2.0)) for _ in range(2)]
        stopped, other = stores
        await stopped.change(FIRST, PLANNED, 0, leading=False)
        assert await stopped.lead()
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            assert 0 < client.pttl(LEADER) <= 3_000
            client.delete(LEADER)
        assert await other.lead()
        after, change = rolled_back(FIRST, OPERATOR, "", NOW)
        assert not await stopped.change(after, change, FIRST.generation, leading=True)
        assert not await stopped.keep("recommend", Trial(1, 0.0))
        for store in stores:
            await store.close()
        with redis.Redis(unix_socket_path=str(server.socket)) as client:
            client.hset(STATES, "recommend", "{}")
        again = RedisRollouts(RedisConnection(server.url, "rollouts", FakeEvents(), 2.0))
        with pytest.raises(StoreUnavailable):
            await again.read()
        await again.close()

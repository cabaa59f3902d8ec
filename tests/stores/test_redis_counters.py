"""Counters in Redis: what is written there, what happens when it is not there, and what a Cluster shares."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from extproc.app.clock import SystemClock
from extproc.app.counter_store import PROBE
from extproc.core.calendar import Unit
from extproc.core.errors import StoreUnavailable
from extproc.core.limits import Charge, Counter, Hit, Kind, Limit, Per
from extproc.stores.redis_connection import PATIENT, STORE_FOUND, STORE_LOST, RedisConnection
from extproc.stores.redis_counters import SCRIPT, RedisCounters
from extproc.testing import FakeClock
from tests import redis_groups
from tests.redis_groups import RedisNode, folder
from tests.stores.counters import (
    FIVE_A_MINUTE,
    TOKENS,
    allowed,
    charge,
    hit,
    limit,
    quota,
    remaining,
    settlement,
    sliding,
    slots,
)

DEADLINE: Final = 0.05
NOISE: Final = 1.0  # seconds that a busy machine may take for what takes none
BY_ROUTE: Final = Limit("route-0", "route/orders", Per.ROUTE, 100, 3_600, 100)
ALL_KINDS: Final = (FIVE_A_MINUTE, quota(), sliding(), slots(), TOKENS)


@dataclass(slots=True)
class Told:
    names: list[str] = field(default_factory=list)

    def event(self, name: str, **fields: object) -> None:
        self.names.append(name)


@contextlib.asynccontextmanager
async def counters(url: str, told: Told, deadline: float = DEADLINE) -> AsyncIterator[RedisCounters]:
    """As a sidecar has them: looked after."""
    connection = RedisConnection(url, "counters", told, max(deadline, PROBE), deadline, SCRIPT)
    tending = asyncio.ensure_future(connection.tend())
    try:
        yield RedisCounters(connection, SystemClock())
    finally:
        tending.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await tending
        await connection.close()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def node() -> Any:
    server = RedisNode(folder()).start()
    yield server
    server.stop()


def address(node: RedisNode) -> str:
    return f"redis://127.0.0.1:{node.port}"


async def within(holds: Callable[[], Any], what: str, patience: float = 10.0) -> None:
    """Until it is so, by asking again and again: recovery is not to need anything else."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            while True:
                try:
                    if await holds():
                        return
                except StoreUnavailable:
                    pass
                await asyncio.sleep(0.02)
    pytest.fail(f"not in time: {what}")


async def refused_in_time(store: RedisCounters, times: int = 20) -> None:
    """Each ends with an error, and none waits for more than the deadline, whatever else the machine does."""
    loop = asyncio.get_running_loop()
    for _ in range(times):
        began = loop.time()
        with pytest.raises(StoreUnavailable):
            await store.hit(charge())
        assert loop.time() - began < DEADLINE + NOISE


async def test_a_server_that_stopped_refuses_at_once_and_is_found_when_it_is_back(told: Told, node: RedisNode) -> None:
    async with counters(address(node), told) as store:
        await within(lambda: allowed(store), "the first judgement")
        node.stop()
        await refused_in_time(store)
        node.start()
        await within(lambda: allowed(store), "a judgement after the restart, whose scripts are gone")
        assert told.names == [STORE_LOST, STORE_FOUND]


async def test_a_server_that_is_paused_costs_the_deadline_and_then_nothing(told: Told, node: RedisNode) -> None:
    async with counters(address(node), told) as store:
        await within(lambda: allowed(store), "the first judgement")
        node.pause()
        await refused_in_time(store, 3)
        await within(lambda: _said(told, STORE_LOST), "the breaker is open")
        loop = asyncio.get_running_loop()
        began = loop.time()
        for _ in range(1_000):
            with pytest.raises(StoreUnavailable):
                await store.hit(charge())
        assert (loop.time() - began) / 1_000 < DEADLINE / 10
        node.go_on()
        await within(lambda: allowed(store), "a judgement after the pause")


async def _said(told: Told, name: str) -> bool:
    return name in told.names


async def test_what_was_asked_of_a_paused_server_counts_at_most_once(told: Told, node: RedisNode) -> None:
    async with counters(address(node), told) as store:
        await within(lambda: remaining(store, quota(1_000)), "the first judgement")
        node.pause()
        asked = [store.hit(charge(hit(quota(1_000)))) for _ in range(20)]
        assert all(
            isinstance(error, StoreUnavailable) for error in await asyncio.gather(*asked, return_exceptions=True)
        )
        node.go_on()
        await within(lambda: remaining(store, quota(1_000)), "a judgement after the pause")
        assert 980 <= await remaining(store, quota(1_000)) <= 1_000


async def test_scripts_that_are_flushed_are_loaded_again_unnoticed(told: Told, node: RedisNode) -> None:
    async with counters(address(node), told, PATIENT) as store:
        assert await allowed(store)
        with node.client() as client:
            client.script_flush()
        asked = await asyncio.gather(*(store.hit(charge(key=f"stream-{number}")) for number in range(50)))
        assert sum(state.allowed for (state,) in asked) == 4


async def test_a_wrong_password_is_an_outage_until_it_is_the_right_one(told: Told, node: RedisNode) -> None:
    with node.client() as client:
        client.config_set("requirepass", "right")
    async with counters(f"redis://:wrong@127.0.0.1:{node.port}", told) as store:
        await refused_in_time(store)
        with redis_client(node, "right") as client:
            client.config_set("requirepass", "wrong")
        await within(lambda: allowed(store), "a judgement with the right password")


@contextlib.contextmanager
def redis_client(node: RedisNode, password: str) -> Any:
    import redis  # noqa: PLC0415 - only here

    with redis.Redis(port=node.port, password=password) as client:
        yield client


async def test_a_server_without_memory_refuses_and_charges_nothing(told: Told, node: RedisNode) -> None:
    async with counters(address(node), told, PATIENT) as store:
        assert await allowed(store, hit(FIVE_A_MINUTE), hit(quota()))
        with node.client() as client:
            client.config_set("maxmemory", "1")
        for _ in range(20):
            with pytest.raises(StoreUnavailable, match="Redis does not judge"):
                await store.hit(charge(hit(FIVE_A_MINUTE), hit(quota())))
        with node.client() as client:
            client.config_set("maxmemory", "0")
        assert await remaining(store, quota()) == 4


async def test_a_master_no_longer_refuses_and_is_left_at_once(told: Told, node: RedisNode) -> None:
    other = RedisNode(folder()).start()
    try:
        async with counters(address(node), told, PATIENT) as store:
            assert await allowed(store)
            with node.client() as client:
                client.replicaof("127.0.0.1", other.port)
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="ReadOnlyError"):
                    await store.hit(charge())
            with node.client() as client:
                client.replicaof("NO", "ONE")
            await within(lambda: allowed(store), "a judgement by the master that it is again")
    finally:
        other.stop()


async def test_a_failover_is_followed_by_asking_the_sentinel(told: Told) -> None:
    group = redis_groups.Watched(folder()).start()
    try:
        async with counters(group.url, told, 0.2) as store:
            await within(lambda: allowed(store), "the first judgement")
            group.master.stop()
            await within(lambda: allowed(store), "a judgement by the replica that is the master now", 30)
            with group.replica.client() as client:
                assert client.info("replication")["role"] == "master"
    finally:
        group.stop()


async def test_every_key_ends_by_itself_and_is_bounded(told: Told, node: RedisNode) -> None:
    names = ["acme", "k" * 10_240, "a|b", "a:b", "a\nb", "a}b{c", "é", "\ud800", ""]
    async with counters(address(node), told, PATIENT) as store:
        for number, name in enumerate(names):
            hits = [hit(of, name) for of in ALL_KINDS]
            assert all(state.allowed for state in await store.hit(Charge(tuple(hits), f"stream-{number}")))
        with node.client() as client:
            keys = client.keys("*")
            assert len(keys) == len(names) * (len(ALL_KINDS) + 2)  # the reservation, and the answer
            assert all(0 < client.ttl(key) <= 200 for key in keys)
            assert all(len(key) < 500 and key.startswith(b"extproc:{") and b"\n" not in key[:26] for key in keys)
        assert [await remaining(store, FIVE_A_MINUTE, name) for name in names] == [4] * len(names)


async def test_nothing_is_written_for_looking_or_for_being_refused(told: Told, node: RedisNode) -> None:
    async with counters(address(node), told, PATIENT) as store:
        for of in ALL_KINDS:
            await remaining(store, of)
            assert not await allowed(store, hit(of), hit(quota(1, name="no"), count=2))
        with node.client() as client:
            assert client.keys("*") == []


@pytest.mark.parametrize(
    "of",
    [
        limit(1, 86_400, 1_000_000),
        replace(quota(2**53), kind=Kind.BUDGET),
    ],
)
async def test_what_lua_cannot_count_exactly_is_refused(told: Told, node: RedisNode, of: Limit) -> None:
    async with counters(address(node), told, PATIENT) as store:
        with pytest.raises(StoreUnavailable, match="larger than what Redis counts exactly"):
            await store.hit(charge(hit(of)))


@pytest.mark.parametrize("step", [-3_600, 3_600])
async def test_redis_with_a_clock_an_hour_off_gives_one_more_window_at_most(step: int) -> None:
    """As after a failover to a server that has another time."""
    redis_groups.cluster().flush()
    connection = RedisConnection(redis_groups.cluster().url, "counters", Told(), PATIENT, PATIENT)
    clock, moved = FakeClock(), [1_790_000_000]
    store = RedisCounters(connection, clock, lambda: str(moved[0] * 1_000_000))
    kinds = (FIVE_A_MINUTE, quota(), sliding())
    assert [[await allowed(store, hit(of)) for _ in range(6)].count(True) for of in kinds] == [5, 5, 5]
    moved[0] += step
    admitted = [[await allowed(store, hit(of)) for _ in range(20)].count(True) for of in kinds]
    assert admitted == ([5, 5, 5] if step > 0 else [0, 0, 0])
    moved[0] += 62
    assert [[await allowed(store, hit(of)) for _ in range(6)].count(True) for of in kinds] == [5, 5, 5]
    await connection.close()


async def test_windows_are_those_of_redis_whatever_our_own_clock_says(told: Told, node: RedisNode) -> None:
    connection = RedisConnection(address(node), "counters", told, PATIENT, PATIENT)
    ahead, behind = (RedisCounters(connection, FakeClock(seconds)) for seconds in (9e8, 3e9))
    daily = quota(5, Unit.DAY)
    assert [await allowed(store, hit(daily)) for store in (ahead, behind) * 3] == [True] * 5 + [False]
    await connection.close()


async def test_a_cluster_gives_back_what_was_shared_when_the_caller_is_refused(told: Told) -> None:
    redis_groups.cluster().flush()
    shared = (
        BY_ROUTE,
        replace(quota(100), per=Per.ROUTE),
        replace(sliding(100), per=Per.ROUTE),
        replace(slots(100), per=Per.ROUTE),
    )
    every = (*(Hit(Counter(of, ())) for of in shared), hit())
    async with counters(redis_groups.cluster().url, told, PATIENT) as store:
        asked = (store.hit(Charge(every, f"stream-{number}")) for number in range(100))
        answers = await asyncio.gather(*asked)
        assert sum(all(state.allowed for state in states) for states in answers) == 5
        left = await store.hit(Charge(tuple(Hit(Counter(of, ()), 0) for of in shared)))
        assert [state.remaining for state in left] == [95, 95, 95, 95]


async def test_a_cluster_never_admits_more_of_what_is_shared_than_its_limit(told: Told) -> None:
    """Of many callers at once, some of whom are refused by their own limits meanwhile."""
    redis_groups.cluster().flush()
    tight, two = replace(BY_ROUTE, count=20, burst=20), limit(2, 3_600, 2, "own")
    async with counters(redis_groups.cluster().url, told, PATIENT) as store:
        asked = [
            store.hit(Charge((Hit(Counter(tight, ())), hit(two, f"caller-{number % 15}")), f"stream-{number}"))
            for number in range(200)
        ]
        answers = await asyncio.gather(*asked)
        admitted = sum(all(state.allowed for state in states) for states in answers)
        assert 0 < admitted <= 20
        # The bound: too few at most while calls were under way, and nothing of that stays.
        left = (await store.hit(Charge((Hit(Counter(tight, ()), 0),))))[0].remaining
        assert left == 20 - admitted


async def test_a_cluster_refuses_with_as_much_to_tell_as_one_server(told: Told) -> None:
    redis_groups.cluster().flush()
    async with counters(redis_groups.cluster().url, told, PATIENT) as store:
        for number in range(5):
            assert await allowed(store, Hit(Counter(BY_ROUTE, ())), hit(), key=f"stream-{number}")
        states = await store.hit(Charge((hit(), Hit(Counter(BY_ROUTE, ()))), "refused"))
        assert [(state.counter.limit.name, state.allowed, state.remaining) for state in states] == [
            ("tier", False, 0), ("route-0", True, 95),
        ]  # fmt: skip


async def test_a_slot_that_has_moved_to_another_node_is_followed(told: Told) -> None:
    """Nobody notices, also while some of its keys are here and some there."""
    group = redis_groups.three_nodes().start()
    try:
        async with counters(group.url, told, PATIENT) as store:
            assert await allowed(store, key="before")
            key = _key_of(group)
            source, target = _owners(group, key)
            with source.client() as old, target.client() as new:
                slot = old.cluster("KEYSLOT", key)
                old_id, new_id = (str(one.execute_command("CLUSTER MYID").decode()) for one in (old, new))
                new.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", old_id)
                old.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", new_id)
                old.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *_keys_of(old, slot))
                other = replace(FIVE_A_MINUTE, name="another")
                assert await allowed(store, hit(), hit(other), key="while-it-moves")
                assert not await allowed(store, hit(other), hit(count=4), key="too-much-while-it-moves")
                for node in group.nodes:
                    with node.client() as any_one:
                        any_one.execute_command("CLUSTER SETSLOT", slot, "NODE", new_id)
            assert [await allowed(store, key=f"after-{number}") for number in range(5)] == [True] * 3 + [False] * 2
            assert await remaining(store, other) == 4
            assert told.names == []
    finally:
        group.stop()


def _key_of(group: redis_groups.ThreeNodes) -> bytes:
    for node in group.nodes:
        with node.client() as client:
            for key in client.keys("*"):
                return bytes(key)
    raise AssertionError("nothing was counted")


def _keys_of(client: Any, slot: int) -> list[bytes]:
    return list(client.execute_command("CLUSTER GETKEYSINSLOT", slot, 100))


def _owners(group: redis_groups.ThreeNodes, key: bytes) -> tuple[RedisNode, RedisNode]:
    """Who has it, and somebody who has not."""
    having = []
    for node in group.nodes:
        with node.client() as client:
            having.append(key in client.keys("*"))
    return group.nodes[having.index(True)], group.nodes[having.index(False)]


async def test_what_is_held_is_settled_in_a_cluster_wherever_it_is(told: Told) -> None:
    redis_groups.cluster().flush()
    shared = replace(slots(1), per=Per.ROUTE, scope="route/orders")
    async with counters(redis_groups.cluster().url, told, PATIENT) as store:
        both = (Hit(Counter(shared, ())), hit(slots(1)), hit(TOKENS, count=30))
        assert await allowed(store, *both, key="a")
        assert not await allowed(store, *both, key="b")
        held = [replaced._replace(counter=Counter(shared, ())) for replaced in [settlement(shared, "a")]]
        await store.settle([*held, settlement(slots(1), "a"), settlement(TOKENS, "a", 10)])
        assert await allowed(store, *both, key="c")
        assert await remaining(store, TOKENS) == 60

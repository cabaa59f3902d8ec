"""What every store of API keys does alike: keys that are found, changed, ended and never resurrected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extproc.core.api_key import digest
from extproc.core.message import Consumer
from extproc.stores.key_changes import KeyConflict, Rotation, UnknownKey
from extproc.stores.key_entry import KeyEntry
from extproc.testing import FakeClock
from tests.stores.key_stores import STORES, Store, entry_of, ids, key_of

HALF_A_SECOND = 0.5


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Store]:
    async with STORES[request.param](tmp_path, clock) as opened:
        yield opened


def after(clock: FakeClock, seconds: float) -> datetime:
    return datetime.fromtimestamp(clock.now() + seconds, UTC)


async def consumer_of(store: Store, number: int) -> Consumer | None:
    return await store.consumer_of(digest(key_of(number)))


async def test_a_key_that_was_added_is_found_with_all_that_is_known_of_its_consumer(store: Store) -> None:
    await store.add(entry_of(1, consumer="acme", tier="free", scopes=["a", "b"], groups=["g"]))
    await store.add(entry_of(2, consumer="b"))
    assert await consumer_of(store, 1) == Consumer("acme", "free", ("a", "b"), groups=("g",))
    assert await consumer_of(store, 2) == Consumer("b")
    assert ids(await store.entries()) == ids([entry_of(1), entry_of(2)])


@pytest.mark.parametrize("asked", ["", digest(key_of(1))[:-1], digest(key_of(1)).upper(), key_of(1), "*", "\x00"])
async def test_every_other_digest_is_nobody(store: Store, asked: str) -> None:
    await store.add(entry_of(1))
    assert await store.consumer_of(asked) is None


async def test_a_store_without_keys_knows_nobody(store: Store) -> None:
    assert await consumer_of(store, 1) is None
    assert list(await store.entries()) == []


async def test_a_key_that_was_removed_is_worth_nothing_and_others_go_on(store: Store) -> None:
    await store.add(entry_of(1))
    await store.add(entry_of(2))
    assert await consumer_of(store, 1) is not None
    assert await store.remove(entry_of(1).id) == entry_of(1)
    assert await consumer_of(store, 1) is None
    assert await consumer_of(store, 2) == Consumer("consumer-2")
    assert ids(await store.entries()) == [entry_of(2).id]


@pytest.mark.parametrize(
    "key", ["", "key_", "key_*", "key_000000000000", "key_" + "?" * 12, key_of(1), digest(key_of(1)), "key_\u0661" * 4]
)
async def test_what_is_no_id_of_a_key_names_none(store: Store, key: str) -> None:
    await store.add(entry_of(1))
    with pytest.raises(UnknownKey) as refused:
        await store.remove(key)
    assert key_of(1) not in str(refused.value)
    with pytest.raises(UnknownKey):
        await store.rotate(key, lambda old: Rotation(old, entry_of(2)))
    assert ids(await store.entries()) == [entry_of(1).id]


async def test_a_key_is_not_added_twice(store: Store) -> None:
    await store.add(entry_of(1, consumer="acme"))
    with pytest.raises(KeyConflict):
        await store.add(entry_of(1, consumer="mallory"))
    assert await consumer_of(store, 1) == Consumer("acme")


async def test_a_key_ends_on_the_second(store: Store, clock: FakeClock) -> None:
    await store.add(entry_of(1, expires=after(clock, 60)))
    clock.advance(59)
    assert await consumer_of(store, 1) is not None
    clock.advance(1)
    assert await consumer_of(store, 1) is None
    assert ids(await store.entries()) == [entry_of(1).id], "it is listed until somebody revokes it"


async def test_a_rotated_key_goes_on_for_as_long_as_it_is_said(store: Store, clock: FakeClock) -> None:
    await store.add(entry_of(1, consumer="acme", tier="free"))

    def rotate(old: KeyEntry) -> Rotation:
        return Rotation(
            old.model_copy(update={"expires": after(clock, 60)}), entry_of(2, consumer=old.consumer, tier=old.tier)
        )

    made = await store.rotate(entry_of(1).id, rotate)
    assert made.new.id == entry_of(2).id
    assert await consumer_of(store, 1) == await consumer_of(store, 2) == Consumer("acme", "free")
    clock.advance(60)
    assert await consumer_of(store, 1) is None
    assert await consumer_of(store, 2) == Consumer("acme", "free")


async def test_what_the_rotation_refuses_changes_nothing(store: Store) -> None:
    await store.add(entry_of(1))

    def refuse(old: KeyEntry) -> Rotation:
        raise KeyConflict("it has ended")

    with pytest.raises(KeyConflict, match="it has ended"):
        await store.rotate(entry_of(1).id, refuse)
    assert [entry.written() for entry in await store.entries()] == [entry_of(1).written()]


async def test_keys_that_are_added_at_once_are_all_there(store: Store) -> None:
    await asyncio.gather(*(store.add(entry_of(number)) for number in range(10)))
    assert ids(await store.entries()) == ids([entry_of(number) for number in range(10)])


async def test_a_key_that_is_revoked_while_it_is_rotated_stays_revoked(store: Store, clock: FakeClock) -> None:
    await store.add(entry_of(1))

    def rotate(old: KeyEntry) -> Rotation:
        return Rotation(old.model_copy(update={"expires": after(clock, 60)}), entry_of(2))

    await asyncio.gather(store.rotate(entry_of(1).id, rotate), store.remove(entry_of(1).id), return_exceptions=True)
    clock.advance(HALF_A_SECOND)
    assert await consumer_of(store, 1) is None
    assert entry_of(1).id not in ids(await store.entries())


async def test_what_is_kept_is_what_was_said(store: Store, clock: FakeClock) -> None:
    created = after(clock, 0)
    entry = entry_of(1, tier="t", scopes=["s"], groups=["g"], created=created, expires=created + timedelta(days=1))
    await store.add(entry)
    assert list(await store.entries()) == [entry]

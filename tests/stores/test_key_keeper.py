"""Making, replacing and ending keys: what is told, what is kept, and for how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from extproc.config.wishes import read_wish
from extproc.core.api_key import digest, is_well_formed, key_id
from extproc.core.message import Consumer
from extproc.stores.key_changes import KeyConflict, UnknownKey
from extproc.stores.key_entry import KeyEntry
from extproc.stores.key_keeper import (
    KeyKeeper,
    KeyWish,
    RotationWish,
    entry_told,
    parse_expiry,
    parse_overlap,
)
from extproc.stores.keys import MemoryKeys
from extproc.testing import FakeClock
from tests.stores.key_stores import entry_of

NOW: Final = datetime(2026, 11, 25, 12, tzinfo=UTC)
WISH: Final = KeyWish(consumer="acme", tier="free", scopes=["a", "b"], groups=["g"])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(seconds=NOW.timestamp())


@pytest.fixture
def store(clock: FakeClock) -> MemoryKeys:
    return MemoryKeys(clock)


@pytest.fixture
def keeper(store: MemoryKeys, clock: FakeClock) -> KeyKeeper:
    return KeyKeeper(store, clock)


async def test_a_new_key_is_good_at_once_and_told_once(keeper: KeyKeeper, store: MemoryKeys) -> None:
    made = await keeper.create(WISH)
    assert is_well_formed(made.key)
    assert await store.consumer_of(digest(made.key)) == Consumer("acme", "free", ("a", "b"), groups=("g",))
    assert made.key not in repr(made)
    (kept,) = await keeper.entries()
    assert made.key not in repr(kept) + str(kept.written()) + str(entry_told(kept))


async def test_what_is_told_of_a_key_has_every_name_and_not_its_digest(keeper: KeyKeeper) -> None:
    made = await keeper.create(KeyWish(consumer="acme", expires="90d"))
    assert made.told() == {
        "key": made.key, "id": made.entry.id, "consumer": "acme", "tier": None, "scopes": [], "groups": [],
        "created": "2026-11-25T12:00:00Z", "expires": "2027-02-23T12:00:00Z", "replaced_by": None,
    }  # fmt: skip
    assert digest(made.key) not in str(made.told())


async def test_an_id_is_made_of_the_digest_and_of_nothing_else(keeper: KeyKeeper) -> None:
    made = await keeper.create(WISH)
    assert made.entry.id == key_id(digest(made.key)) == "key_" + digest(made.key)[:12]
    assert made.entry.id.removeprefix("key_") not in made.key


async def test_no_two_keys_are_alike(keeper: KeyKeeper) -> None:
    assert len({(await keeper.create(WISH)).key for _ in range(100)}) == 100


async def test_random_bytes_that_come_twice_make_no_second_key(store: MemoryKeys, clock: FakeClock) -> None:
    keeper = KeyKeeper(store, clock, bytes)
    await keeper.create(WISH)
    with pytest.raises(KeyConflict):
        await keeper.create(KeyWish(consumer="mallory"))


async def test_a_rotated_key_goes_on_for_the_overlap_and_the_new_one_beside_it(
    keeper: KeyKeeper, store: MemoryKeys, clock: FakeClock
) -> None:
    old = await keeper.create(WISH)
    new = await keeper.rotate(old.entry.id, RotationWish(overlap="1h"))
    assert new.replaced is not None
    assert (new.replaced.id, new.replaced.replaced_by) == (old.entry.id, new.entry.id)
    clock.advance(3599)
    assert await store.consumer_of(digest(old.key)) == await store.consumer_of(digest(new.key)) is not None
    clock.advance(1)
    assert await store.consumer_of(digest(old.key)) is None
    assert await store.consumer_of(digest(new.key)) == Consumer("acme", "free", ("a", "b"), groups=("g",))


async def test_an_overlap_of_nothing_ends_the_old_key_at_once(keeper: KeyKeeper, store: MemoryKeys) -> None:
    old = await keeper.create(WISH)
    await keeper.rotate(old.entry.id, RotationWish(overlap="0s"))
    assert await store.consumer_of(digest(old.key)) is None


async def test_an_overlap_gives_no_key_more_time_than_it_had(keeper: KeyKeeper) -> None:
    old = await keeper.create(KeyWish(consumer="acme", expires="1h"))
    new = await keeper.rotate(old.entry.id, RotationWish(overlap="24h"))
    assert new.replaced is not None
    assert new.replaced.expires == old.entry.expires


@pytest.mark.parametrize(
    ("created", "expires", "wish", "end"),
    [
        (NOW, None, None, None),
        (NOW, NOW + timedelta(days=90), None, NOW + timedelta(days=100)),
        (None, NOW + timedelta(days=90), None, NOW + timedelta(days=90)),
        (NOW, None, "7d", NOW + timedelta(days=17)),
        (NOW, NOW + timedelta(days=90), "2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
async def test_a_new_key_lives_as_long_as_the_one_that_it_replaces(
    created: datetime | None, expires: datetime | None, wish: str | None, end: datetime | None, clock: FakeClock
) -> None:
    store = MemoryKeys(clock, [entry_of(1, created=created, expires=expires)])
    clock.advance(10 * 86_400)
    made = await KeyKeeper(store, clock).rotate(entry_of(1).id, RotationWish(expires=wish))
    assert made.entry.expires == end


async def test_a_key_that_is_replaced_or_has_ended_is_not_rotated(keeper: KeyKeeper, clock: FakeClock) -> None:
    old = await keeper.create(KeyWish(consumer="acme", expires="30d"))
    new = await keeper.rotate(old.entry.id, RotationWish())
    with pytest.raises(KeyConflict, match=f"is replaced already: rotate {new.entry.id}"):
        await keeper.rotate(old.entry.id, RotationWish())
    clock.advance(30 * 86_400)
    with pytest.raises(KeyConflict, match="has ended: create a new one"):
        await keeper.rotate(new.entry.id, RotationWish())
    assert len(await keeper.entries()) == 2


async def test_a_revoked_key_is_nobody_and_is_revoked_once(keeper: KeyKeeper, store: MemoryKeys) -> None:
    made = await keeper.create(WISH)
    assert (await keeper.revoke(made.entry.id)).id == made.entry.id
    assert await store.consumer_of(digest(made.key)) is None
    for change in (keeper.revoke(made.entry.id), keeper.rotate(made.entry.id, RotationWish())):
        with pytest.raises(UnknownKey, match=f"there is no key {made.entry.id}"):
            await change


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("90d", NOW + timedelta(days=90)), ("1s", NOW + timedelta(seconds=1)),
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T12:00:00Z", datetime(2027, 1, 1, 12, tzinfo=UTC)),
        ("2027-01-01T12:00:00+02:00", datetime(2027, 1, 1, 10, tzinfo=UTC)),
    ],
)  # fmt: skip
def test_an_end_is_a_duration_or_a_time(text: str, end: datetime) -> None:
    assert parse_expiry(text, NOW) == end


@pytest.mark.parametrize(
    "text", ["", "soon", "90", "-1d", "0s", "2026-11-25T12:00:00Z", "2020-01-01", "999999999d", "9999-01-01", "never"]
)
def test_an_end_that_is_none_or_past_or_too_far_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an end|a key ends after now"):
        parse_expiry(text, NOW)


@pytest.mark.parametrize("text", ["", "soon", "-1h", "999999999d"])
def test_an_overlap_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|at most"):
        parse_overlap(text)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "consumer: Field required"),
        ({"consumer": ""}, "consumer: String should have at least 1 character"),
        ({"consumer": "a" * 257}, "consumer: String should have at most 256 characters"),
        ({"consumer": "a\nb"}, "consumer: a name has no control characters, and no space around it"),
        ({"consumer": " a"}, "consumer: a name has no control characters, and no space around it"),
        ({"consumer": "a", "scopes": ["a b"]}, "scopes.0: String should match pattern"),
        ({"consumer": "a", "scopes": ["a"] * 101}, "scopes: List should have at most 100 items"),
        ({"consumer": "a", "groups": ["\x7f"]}, "groups.0: a name has no control"),
        ({"consumer": "a", "xpk_secret": 1}, "Extra inputs are not permitted"),
        ([], "Input should be a valid dictionary"),
    ],
)
def test_a_wish_that_no_key_can_fulfil_is_refused_without_quoting_it(values: object, said: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        read_wish(KeyWish, values)
    assert str(refused.value).startswith(said)
    assert "xpk_secret" not in str(refused.value)


def test_a_key_file_of_before_has_entries_that_never_end() -> None:
    entry = KeyEntry.model_validate({"sha256": "0" * 64, "consumer": "acme", "tier": "free", "scopes": ["a"]})
    assert not entry.ended(NOW.timestamp())
    assert entry.written() == {"sha256": "0" * 64, "consumer": "acme", "tier": "free", "scopes": ["a"]}

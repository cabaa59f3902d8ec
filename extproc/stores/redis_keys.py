"""API keys in one hash of a Redis: a field for each digest, and as its value all that is kept of that key."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

import orjson
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import WatchError

from extproc.core.api_key import ID_DIGITS, ID_PREFIX, key_id
from extproc.core.errors import StoreUnavailable
from extproc.core.limits import NANOSECONDS
from extproc.core.message import Consumer
from extproc.core.ports import Clock
from extproc.stores.key_changes import KeyConflict, Rotate, Rotation, unknown
from extproc.stores.key_entry import KeyEntry
from extproc.stores.keys import Known
from extproc.stores.redis_connection import RedisConnection

HASH: Final = "extproc:keys"
REMEMBER: Final = NANOSECONDS // 2  # and no longer: a revoked key is refused within a second
REMEMBERED: Final = 10_000  # answers, those about unknown keys included
AT_ONCE: Final = 1_000  # fields in one step of a search by id
TRIES: Final = 5  # of a change that others were quicker than


class RedisKeys:
    """What was found is believed for half a second, so that a busy caller is asked about twice a second.

    `connection` is for decisions; `patient` is for lists and changes, which may take their time.
    """

    def __init__(self, connection: RedisConnection, patient: RedisConnection, clock: Clock) -> None:
        self._connection = connection
        self._patient = patient
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[int, Known | None]] = OrderedDict()
        self.ready = connection.ready
        self.tend = connection.tend

    async def close(self) -> None:
        await self._connection.close()
        await self._patient.close()

    async def consumer_of(self, digest: str) -> Consumer | None:
        known = await self._known(digest)
        return known.consumer if known is not None and self._clock.now() < known.expires else None

    async def entries(self) -> Sequence[KeyEntry]:
        return await self._patient.ask(_all)

    async def add(self, entry: KeyEntry) -> None:
        async def ask(client: Redis) -> None:
            if await _digests(client, entry.id) or not await _set_new(client, entry):
                raise KeyConflict(f"there is a key {entry.id} already")

        await self._patient.ask(ask)
        self._forget(entry)

    async def rotate(self, key: str, rotate: Rotate) -> Rotation:
        rotation = await self._patient.ask(lambda client: _rotate(client, key, rotate))
        self._forget(*rotation)
        return rotation

    async def remove(self, key: str) -> KeyEntry:
        async def ask(client: Redis) -> KeyEntry:
            entry = await _find(client, key)
            if not await _answer(client.hdel(HASH, entry.sha256)):
                raise unknown(key)
            return entry

        entry = await self._patient.ask(ask)
        self._forget(entry)
        return entry

    async def _known(self, digest: str) -> Known | None:
        now = self._clock.monotonic()
        remembered = self._remembered.get(digest)
        if remembered is not None and now < remembered[0]:
            return remembered[1]
        value = await self._connection.ask(lambda client: _answer(client.hget(HASH, digest)))
        known = Known.of(_entry(digest, value)) if value is not None else None
        self._remember(digest, known, now + REMEMBER)
        return known

    def _remember(self, digest: str, known: Known | None, until: int) -> None:
        """From when it was asked: an answer that took its time is older."""
        self._remembered[digest] = (until, known)
        self._remembered.move_to_end(digest)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget(self, *entries: KeyEntry) -> None:
        for entry in entries:
            self._remembered.pop(entry.sha256, None)


async def _all(client: Redis) -> Sequence[KeyEntry]:
    found = await _answer(client.hgetall(HASH))
    entries = [_entry(digest.decode(), value) for digest, value in found.items()]
    return sorted(entries, key=lambda entry: (str(entry.created), entry.id))


async def _find(client: Redis, key: str) -> KeyEntry:
    for digest in await _digests(client, key):
        value = await _answer(client.hget(HASH, digest))
        if value is not None:
            return _entry(digest, value)
    raise unknown(key)


async def _digests(client: Redis, key: str) -> list[str]:
    """Of the key with that id. What is looked for is hex only: a pattern would find others."""
    start = key.removeprefix(ID_PREFIX)
    if len(start) != ID_DIGITS or not set(start) <= set("0123456789abcdef"):
        return []
    pattern = f"{start}*"
    found = [digest.decode() async for digest, _ in client.hscan_iter(HASH, match=pattern, count=AT_ONCE)]
    return [digest for digest in found if key_id(digest) == key]


async def _set_new(client: Redis, entry: KeyEntry) -> bool:
    return bool(await _answer(client.hsetnx(HASH, entry.sha256, _value(entry))))


async def _rotate(client: Redis, key: str, rotate: Rotate) -> Rotation:
    """Only where nobody changed the keys meanwhile (WATCH): what was revoked must not come back."""
    async with client.pipeline(transaction=True) as pipe:
        for _ in range(TRIES):
            await pipe.watch(HASH)
            rotation = rotate(await _find(client, key))
            pipe.multi()  # type: ignore[no-untyped-call]
            pipe.hset(HASH, rotation.old.sha256, _value(rotation.old))
            pipe.hset(HASH, rotation.new.sha256, _value(rotation.new))
            try:
                await pipe.execute()
            except WatchError:
                await asyncio.sleep(0)
                continue
            return rotation
    raise StoreUnavailable("the keys are being changed by others all the time")


def _entry(digest: str, value: bytes) -> KeyEntry:
    """Raises StoreUnavailable for what is none: whose key it is cannot be said."""
    try:
        entry = KeyEntry.model_validate(orjson.loads(value))
    except (ValidationError, orjson.JSONDecodeError):
        entry = None
    if entry is None or entry.sha256 != digest:
        raise StoreUnavailable(f"a field of the hash {HASH} in Redis is no key's entry") from None
    return entry


def _value(entry: KeyEntry) -> bytes:
    return orjson.dumps(entry.written())


async def _answer(asked: Any) -> Any:
    """redis-py types its commands for both of its clients: an answer, or what must be awaited."""
    return await asked

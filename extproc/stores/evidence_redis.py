"""Evidence in a Redis that several sidecars share: a hash for each model and slot of time, which ends by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, Final, TypeVar

from redis.asyncio import Redis

from extproc.core.evidence import Evidence, Series, Slot, Sums, Told, cover, ends_at, points, slots_of, total
from extproc.core.ports import Clock
from extproc.stores.evidence_numbers import evidence_of, numbers_of
from extproc.stores.redis_connection import RedisConnection

SCRIPT: Final = files("extproc.stores").joinpath("evidence.lua").read_text("utf-8")
PREFIX: Final = "extproc:evidence:"
TOLD_AT_ONCE: Final = 20  # seconds of versions in one script, of which each is a few dozen numbers
READ_AT_ONCE: Final = 250  # hashes in one pipeline
REMEMBERED: Final = 600  # seconds: for how long a batch that is told again is known
Found = Mapping[Slot, Mapping[str, Evidence]]
T = TypeVar("T")


class RedisEvidence:
    def __init__(self, connection: RedisConnection, clock: Clock) -> None:
        self.connection = connection
        self._clock = clock
        self.tend = connection.tend
        self.close = connection.close

    async def add(self, sums: Sums, batch: str) -> None:
        """The same sums in the same parts, or what was told already would not be known again."""
        now = self._clock.now()
        for model in sorted({told.model for told in sums}):
            of_model = sorted(told for told in sums if told.model == model)
            for part, some in enumerate(_parts(of_model, TOLD_AT_ONCE)):
                remembered = f"{_place(model)}:told:{batch}:{part}"
                slots = _slots({told: sums[told] for told in some}, now)
                if slots:
                    await self.connection.ask(partial(_add, model, remembered, slots))

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        slots = cover(since, until, self._clock.now())
        found = await self._read(model, slots)
        return total(found.values())

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        now = self._clock.now()
        steps = [(begin, cover(begin, end, now)) for begin, end in points(since, until, step)]
        found = await self._read(model, [slot for _, slots in steps for slot in slots])
        return tuple([(begin, total([found[slot] for slot in slots if slot in found])) for begin, slots in steps])

    async def _read(self, model: str, slots: Sequence[Slot]) -> Found:
        found: dict[Slot, Mapping[str, Evidence]] = {}
        for some in _parts(slots, READ_AT_ONCE):
            hashes = await self.connection.ask(partial(_hashes, model, some))
            found |= {slot: _versions(fields) for slot, fields in zip(some, hashes, strict=True) if fields}
        return found


def _parts(several: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (several[start : start + size] for start in range(0, len(several), size))


def _slots(sums: Sums, now: float) -> Mapping[Slot, Mapping[str, int]]:
    """What each slot's fields grow by."""
    grown: dict[Slot, dict[str, int]] = {}
    for told, evidence in sums.items():
        numbers = numbers_of(evidence)
        for slot in slots_of(told.second, now):
            fields = grown.setdefault(slot, {})
            for name, number in numbers.items():
                field = _field(told, name)
                fields[field] = fields.get(field, 0) + number
    return grown


def _field(told: Told, name: str) -> str:
    return f"{told.version} {name}"


async def _add(model: str, remembered: str, slots: Mapping[Slot, Mapping[str, int]], client: Redis) -> None:
    keys = [remembered, *(_key(model, slot) for slot in slots)]
    arguments: list[str | int] = [REMEMBERED]
    for slot, fields in slots.items():
        arguments += (ends_at(slot), len(fields))
        arguments += (item for field in fields.items() for item in field)
    answer: Any = client.eval(SCRIPT, len(keys), *keys, *map(str, arguments))
    await answer


async def _hashes(model: str, slots: Iterable[Slot], client: Redis) -> Sequence[Mapping[bytes, bytes]]:
    pipeline = client.pipeline(transaction=False)
    for slot in slots:
        pipeline.hgetall(_key(model, slot))
    found: Sequence[Mapping[bytes, bytes]] = await pipeline.execute()
    return found


def _versions(fields: Mapping[bytes, bytes]) -> dict[str, Evidence]:
    numbers: dict[str, dict[str, int]] = {}
    for field, number in fields.items():
        version, _, name = field.decode().rpartition(" ")
        numbers.setdefault(version, {})[name] = int(number)
    return {version: evidence_of(found) for version, found in numbers.items()}


def _place(model: str) -> str:
    """What stands in braces decides where a Cluster keeps it: all of a model together."""
    return f"{PREFIX}{{{model}}}"


def _key(model: str, slot: Slot) -> str:
    return f"{_place(model)}:{slot.grain}:{slot.begin}"

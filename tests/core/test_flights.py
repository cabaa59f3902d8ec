"""Who asks the same at the same time waits for one answer, whatever becomes of whoever began."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from extproc.core.errors import CouldNotDecide, ProviderUnavailable
from extproc.core.flights import Flights
from tests.turning import until


class Busy(CouldNotDecide):
    reason = "busy"


@dataclass(slots=True)
class Held:
    """Answers when it is let go, and counts how often it was begun."""

    answer: str | Exception = "landed"
    begun: int = 0
    free: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> str:
        self.begun += 1
        await self.free.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


async def waiting(flights: Flights[str], held: Held, count: int, key: bytes = b"a") -> list[asyncio.Task[str]]:
    """So many who have joined, and wait."""
    joined = [asyncio.ensure_future(flights.join(key, held)) for _ in range(count)]
    await until(lambda: held.begun)
    return joined


async def test_a_hundred_who_ask_the_same_ask_once_and_hear_the_same() -> None:
    flights, held = Flights[str](10, "calls"), Held()
    joined = await waiting(flights, held, 100)
    held.free.set()
    assert await asyncio.gather(*joined) == ["landed"] * 100
    assert (held.begun, len(flights)) == (1, 0)


async def test_what_is_raised_is_raised_for_each_and_the_next_asks_again() -> None:
    flights, held = Flights[str](10, "calls"), Held(ProviderUnavailable("down"))
    joined = await waiting(flights, held, 3)
    held.free.set()
    heard = await asyncio.gather(*joined, return_exceptions=True)
    assert [type(one) for one in heard] == [ProviderUnavailable] * 3
    held.answer = "back"
    assert await flights.join(b"a", held) == "back"


async def test_who_began_may_go_and_the_others_still_hear() -> None:
    flights, held = Flights[str](10, "calls"), Held()
    first, second = await waiting(flights, held, 2)
    first.cancel()
    await asyncio.sleep(0)
    held.free.set()
    assert await second == "landed"
    assert first.cancelled()
    assert held.begun == 1


async def test_one_that_nobody_waits_for_any_more_lands_in_silence() -> None:
    """An exception that nobody looks at would be a warning, which here is an error."""
    flights, held = Flights[str](10, "calls"), Held(ProviderUnavailable("down"))
    (only,) = await waiting(flights, held, 1)
    only.cancel()
    held.free.set()
    await until(lambda: not len(flights))
    assert only.cancelled()


async def test_different_keys_fly_apart_and_only_so_many_at_once() -> None:
    flights, held = Flights[str](2, "calls", Busy), Held()
    joined = [*await waiting(flights, held, 1, b"a"), *await waiting(flights, held, 1, b"b")]
    await until(lambda: len(flights) == 2)
    with pytest.raises(Busy, match="2 calls are under way already"):
        await flights.join(b"c", held)
    held.free.set()
    assert await asyncio.gather(*joined) == ["landed"] * 2
    assert await flights.join(b"c", held) == "landed"

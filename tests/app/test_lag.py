"""How late the event loop is, on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from extproc.app.lag import EVERY, lag_measured
from extproc.testing import FakeClock


@dataclass(slots=True)
class Sleeps:
    """Wakes as late as it is told to, then sleeps on."""

    clock: FakeClock
    late: Sequence[float]
    asked: list[float] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        if len(self.asked) <= len(self.late):
            self.clock.advance(seconds + self.late[len(self.asked) - 1])
            return
        self.over.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise


async def test_each_waking_tells_how_late_it_was() -> None:
    clock, seen = FakeClock(), list[float]()
    sleeps = Sleeps(clock, [0.0, 0.25, 0.001, -0.002])
    async with lag_measured(clock, seen.append, sleeps):
        await asyncio.wait_for(sleeps.over.wait(), 10)
    assert seen == pytest.approx([0.0, 0.25, 0.001, 0.0])
    assert sleeps.asked == [EVERY] * 5


async def test_the_measuring_ends_with_its_context() -> None:
    clock = FakeClock()
    sleeps = Sleeps(clock, [])
    before = asyncio.all_tasks()
    async with lag_measured(clock, print, sleeps):
        await asyncio.wait_for(sleeps.over.wait(), 10)
    assert sleeps.cancelled
    assert asyncio.all_tasks() == before


async def test_a_failure_to_measure_ends_the_measuring_and_nothing_else() -> None:
    clock, sleeps = FakeClock(), Sleeps(FakeClock(), [0.0])
    failed = asyncio.Event()

    def fails(_: float) -> None:
        failed.set()
        raise ValueError

    async with lag_measured(clock, fails, sleeps):
        await asyncio.wait_for(failed.wait(), 10)
    assert len(sleeps.asked) == 1

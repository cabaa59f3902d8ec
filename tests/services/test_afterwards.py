"""What is done when a call is over: bounded, and never in anybody's way."""

from __future__ import annotations

import asyncio

from extproc.services.afterwards import Afterwards
from tests.services.harness import settled


async def test_what_is_begun_outlives_the_task_that_began_it() -> None:
    afterwards, done, may = Afterwards(), asyncio.Event(), asyncio.Event()

    async def settle() -> None:
        await may.wait()
        done.set()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            afterwards.begin(settle())

    task = asyncio.ensure_future(call())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert (len(afterwards), done.is_set()) == (1, False)
    may.set()
    await asyncio.wait_for(done.wait(), 10)
    await asyncio.sleep(0)
    assert len(afterwards) == 0


async def test_what_is_too_much_is_left_out() -> None:
    afterwards, begun = Afterwards(most=2), list[int]()

    async def settle(number: int) -> None:
        begun.append(number)

    for number in range(3):
        afterwards.begin(settle(number))
    await settled(1)
    assert begun == [0, 1]


async def test_what_takes_too_long_is_given_up() -> None:
    afterwards = Afterwards(longest=0)
    afterwards.begin(asyncio.Event().wait())  # type: ignore[arg-type]  # whatever it gives
    await settled(1)
    assert len(afterwards) == 0

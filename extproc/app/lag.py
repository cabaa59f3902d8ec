"""How late the event loop is: a task that does not get its turn in time is what a decision would have waited, too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, NoReturn

from extproc.core.limits import NANOSECONDS
from extproc.core.ports import Clock

EVERY: Final = 0.1  # seconds
Sleep = Callable[[float], Awaitable[object]]


@asynccontextmanager
async def lag_measured(
    clock: Clock, observe: Callable[[float], object], sleep: Sleep = asyncio.sleep
) -> AsyncIterator[None]:
    """While the context is open; its end is the task's end."""
    task = asyncio.ensure_future(_measure(clock, observe, sleep))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _measure(clock: Clock, observe: Callable[[float], object], sleep: Sleep) -> NoReturn:
    while True:
        asleep = clock.monotonic()
        await sleep(EVERY)
        observe(max(0.0, (clock.monotonic() - asleep) / NANOSECONDS - EVERY))

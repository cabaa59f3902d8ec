"""What is gathered in memory is saved again and again, and once more at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable


@runtime_checkable
class Connected(Protocol):
    """A store that is somewhere else."""

    async def tend(self) -> None: ...

    async def close(self) -> None: ...


async def saved_again_and_again(store: object, save: Callable[[], Awaitable[object]], every: float) -> None:
    """Runs until it is cancelled, and then saves what is left. A store that is connected is tended meanwhile."""
    try:
        async with asyncio.TaskGroup() as group:
            if isinstance(store, Connected):
                group.create_task(store.tend())
            while True:
                await asyncio.sleep(every)
                await save()
    finally:
        await save()
        if isinstance(store, Connected):
            await store.close()

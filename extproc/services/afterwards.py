"""What is to be done when the call that it belongs to is over: by tasks of their own, bounded in number and time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

MOST: Final = 10_000  # at once: a crowd of clients that all go away at the same moment
LONGEST: Final = 5.0  # seconds


class Afterwards:
    """What is left out, because there is too much or it takes too long, was nothing that anybody waits for."""

    def __init__(self, most: int = MOST, longest: float = LONGEST) -> None:
        self._most = most
        self._longest = longest
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, doing: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= self._most:
            doing.close()
            return
        task = asyncio.get_running_loop().create_task(self._bounded(doing))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bounded(self, doing: Coroutine[Any, Any, None]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._longest):
                await doing

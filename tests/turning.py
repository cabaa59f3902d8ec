"""Waiting for what the event loop is about to do, without a time of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(holds: Callable[[], object]) -> None:
    """The loop turns until it holds. Whoever waits for ever is stopped by the run's own limit."""
    while not holds():  # noqa: ASYNC110 - what is waited for is the code under test, which sets no event
        await asyncio.sleep(0)

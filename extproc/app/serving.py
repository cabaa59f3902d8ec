"""What every process of ours does that serves until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, Protocol

import uvicorn
from starlette.applications import Starlette

YOUNG: Final = 10_000  # objects made, and not freed at once, between two collections; some hundred decisions
OLDER: Final = 20
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Tending(Protocol):
    async def tend(self) -> None:
        """Runs until it is cancelled."""


def settle_memory() -> None:
    """What is loaded by now stays: no later collection looks at it again, and none runs at every third decision."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLDER)


def signalled() -> asyncio.Event:
    """Set by the first signal. Handlers are installed by hand: a background job starts with SIGINT ignored."""
    stopping = asyncio.Event()
    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def any_set(*events: asyncio.Event) -> None:
    """Until the first of them is."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()


@contextlib.asynccontextmanager
async def all_tended(tended: Sequence[Tending]) -> AsyncIterator[None]:
    """One task each, ended with the block; a task that fails ends the process."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one.tend()) for one in tended]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has its own handlers; uvicorn's would replace them."""
        yield


@contextlib.asynccontextmanager
async def http_served(listening: socket.socket, application: Starlette) -> AsyncIterator[None]:
    server = _Uvicorn(uvicorn.Config(application, log_config=None, access_log=False, lifespan="off"))
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve(sockets=[listening]))
        try:
            yield
        finally:
            server.should_exit = True

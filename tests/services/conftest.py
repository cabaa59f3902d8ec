"""Servers that end with their test, and the rule that no test leaves an error in the log."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

import extproc
from extproc.core.gateway import Gateway
from extproc.core.ports import CounterStore
from tests.services.harness import Rig

OURS = Path(extproc.__file__).parent
Serve = Callable[..., Awaitable[Rig]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Starts the services for a gateway, or for whatever gives one."""
    started: list[Rig] = []

    async def start(plan: Gateway | Callable[[], Gateway], counters: CounterStore | None = None) -> Rig:
        current = plan if callable(plan) else lambda: plan
        rig = await Rig(current, tmp_path / "worker.sock", counters).start()
        started.append(rig)
        return rig

    yield start
    for rig in started:
        await rig.stop()


def _of_grpc_alone(record: logging.LogRecord) -> bool:
    """What grpc.aio says on a busy machine where one process has an event loop after the other, as tests have: its one
    poller hands an event to a loop that is closed, or finds that another has taken it; a call is cancelled by the end
    of its server before its first line."""
    kind, _, trace = record.exc_info or (None, None, None)
    if any(Path(frame.filename).is_relative_to(OURS) for frame in traceback.extract_tb(trace)):
        return False
    if "PollerCompletionQueue._handle_events" in record.getMessage():
        return kind in (RuntimeError, BlockingIOError)
    return kind is asyncio.CancelledError and record.name == "grpc._cython.cygrpc"


@pytest.fixture(autouse=True)
def nothing_is_logged_as_an_error(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """grpc and asyncio log what nobody has handled: an exception of ours among it is a bug."""
    yield
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    errors = [record for record in records if record.levelno >= logging.ERROR and not _of_grpc_alone(record)]
    assert not errors, [record.getMessage() for record in errors]

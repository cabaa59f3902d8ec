"""Which store holds the counters, made of what the gateway file says."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extproc.app.project import Project, Tended
from extproc.config.model import MEMORY
from extproc.core.ports import Clock, CounterStore, Events
from extproc.core.problems import InvalidConfig
from extproc.stores.fallback import Fallback
from extproc.stores.memory import MemoryCounters
from extproc.stores.quota_file import QuotaFile
from extproc.stores.redis_connection import RedisConnection
from extproc.stores.redis_counters import SCRIPT, RedisCounters

COUNTERS: Final = "counters"  # the store's name in events and in what is said of it
REDIS: Final = "redis"
PROBE: Final = 1.0  # seconds that opening a connection may take while no request waits for it


@dataclass(frozen=True, slots=True)
class Counted:
    """Where limits are counted. `name` is what the metrics call it; `here` what is counted in this process: all of it,
    or what is while Redis cannot be asked."""

    name: str
    store: CounterStore
    here: MemoryCounters
    tended: tuple[Tended, ...] = ()
    connection: RedisConnection | None = None

    @contextlib.asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """What is opened meanwhile is closed at the end."""
        try:
            yield
        finally:
            if self.connection is not None:
                await self.connection.close()


def open_counters(project: Project, clock: Clock, events: Events) -> Counted:
    """Raises InvalidConfig where quotas cannot be kept where the file says."""
    plan = project.plan.sidecar
    here = MemoryCounters(clock)
    if plan.counters == MEMORY:
        tended = (_quotas(project, plan.quotas, here, clock, events),) if plan.quotas else ()
        return Counted(MEMORY, Fallback(here), here, tended)
    deadline = plan.counters_timeout
    connection = RedisConnection(plan.counters, COUNTERS, events, max(deadline, PROBE), deadline, SCRIPT)
    return Counted(REDIS, Fallback(RedisCounters(connection, clock), here), here, (connection,), connection)


def _quotas(project: Project, file: str, counters: MemoryCounters, clock: Clock, events: Events) -> Tended:
    try:
        return QuotaFile(Path(file), counters, clock, events)
    except ValueError as error:
        problem = project.loaded.problem(("sidecar", "stores", "quotas"), str(error))
        raise InvalidConfig([problem]) from None

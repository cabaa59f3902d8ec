"""Where usage goes: gathered in memory as Envoy tells of it, saved some seconds later, and never waited for."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from extproc.app.saving import saved_again_and_again
from extproc.config.model import MEMORY
from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Clock, Events
from extproc.core.usage import Gathering, Sums, Usage, UsageStore, Used
from extproc.plan.model import SidecarPlan
from extproc.stores.redis_connection import PATIENT, RedisConnection
from extproc.stores.redis_usage import RedisUsage
from extproc.stores.usage_file import UsageFile

SAVE_EVERY: Final = 2.0  # seconds: what a sidecar that is killed forgets
USAGE: Final = "usage"  # the store's name in events and in what is said of it
USAGE_UNSAVED: Final = "usage_cannot_be_saved"
SAVED_AGAIN: Final = "usage_saved_again"


def open_usage(plan: SidecarPlan, clock: Clock, events: Events) -> UsageFile | RedisUsage | None:
    """Where the counters are kept. None where nothing is."""
    if plan.usage is None:
        return None
    if plan.counters != MEMORY:
        return RedisUsage(RedisConnection(plan.counters, USAGE, events, PATIENT), plan.usage, clock)
    return UsageFile(Path(plan.quotas), plan.usage, clock) if plan.quotas else None


class UsageKept:
    """One for each sidecar."""

    def __init__(self, store: UsageFile | RedisUsage, events: Events) -> None:
        self._store = store
        self._events = events
        self._gathering = Gathering()
        self._failing = False

    def add(self, used: Used, usage: Usage) -> None:
        self._gathering.add(used, usage)

    def ready(self) -> bool:
        """No decision needs it."""
        return True

    async def tend(self) -> None:
        """Runs until it is cancelled."""
        await saved_again_and_again(self._store, self.save, SAVE_EVERY)

    async def since(self, moment: int) -> Sums:
        """Up to now. Raises StoreUnavailable."""
        await self.save()
        return await self._store.since(moment)

    async def save(self) -> None:
        sums = self._gathering.take()
        if not sums:
            return
        try:
            await self._store.add(sums)
        except StoreUnavailable:
            self._gathering.give_back(sums)
            self._now(failing=True)
        else:
            self._now(failing=False)

    def _now(self, *, failing: bool) -> None:
        if failing != self._failing:
            self._failing = failing
            self._events.event(USAGE_UNSAVED if failing else SAVED_AGAIN)


async def read_usage(plan: SidecarPlan, moment: int, clock: Clock, events: Events) -> Sums:
    """For a command that asks and ends. Raises StoreUnavailable."""
    store: UsageStore | None = open_usage(plan, clock, events)
    if store is None:
        return {}
    try:
        return await store.since(moment)
    finally:
        if isinstance(store, RedisUsage):
            with contextlib.suppress(StoreUnavailable):
                await store.close()

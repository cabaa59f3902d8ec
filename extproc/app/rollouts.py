"""Rollouts, as a sidecar runs them: all follow what is kept, one leads, and operators are heard by any."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from extproc.app.rollout_desk import OperatorsDesk
from extproc.app.rollout_looks import Looks, Witness
from extproc.app.rollout_table import Measuring, RolloutTable
from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Events

POLL: Final = 0.5  # seconds: how late a sidecar follows
LEADING: Final = "rollouts_led"
FOLLOWING: Final = "rollouts_followed"
ROLLOUTS_UNREAD: Final = "rollouts_cannot_be_read"
READ_AGAIN: Final = "rollouts_read_again"


class Rollouts:
    """One for each sidecar. `in_force` is set when it is known which shares are."""

    def __init__(self, table: RolloutTable, witness: Witness, events: Events, measuring: Measuring) -> None:
        self._table = table
        self._looks = Looks(table, witness, events, measuring)
        self._events = events
        self._measuring = measuring
        self._leads = False
        self._unread = False
        self.in_force = asyncio.Event()
        self.desk = OperatorsDesk(table, witness, lambda: self._leads)

    @property
    def leads(self) -> bool:
        return self._leads

    async def begin(self) -> None:
        """Until it is known what is in force: a restart gives no version callers that it has lost."""
        while not self.in_force.is_set():
            try:
                await self._table.begin()
                self.in_force.set()
            except StoreUnavailable as error:
                self._now_unread(unread=True, error=str(error))
                await asyncio.sleep(POLL)

    async def tend(self) -> None:
        """Runs until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._table.store.tend())
                await self.begin()
                while True:
                    await self.turn()
                    await asyncio.sleep(POLL)
        finally:
            await self.close()

    async def close(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # the lead ends by itself
            await self._table.store.close()

    async def turn(self) -> None:
        """Follow, and lead where nobody else does."""
        try:
            await self._table.follow()
            self._now_leading(leads=await self._take_the_lead())
            if self._leads:
                await self._looks.look()
            self._now_unread(unread=False)
        except StoreUnavailable as error:
            self._now_leading(leads=False)
            self._now_unread(unread=True, error=str(error))

    async def _take_the_lead(self) -> bool:
        """One whose file is not the last leaves it to those whose is: of the versions there it knows nothing."""
        if self._table.fits():
            return await self._table.store.lead()
        await self._table.store.give_up()
        return False

    def _now_leading(self, *, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            self._looks.forget()
            self._events.event(LEADING if leads else FOLLOWING)
        self._measuring.leads(leads)

    def _now_unread(self, *, unread: bool, **fields: object) -> None:
        if unread != self._unread:
            self._unread = unread
            self._events.event(ROLLOUTS_UNREAD if unread else READ_AGAIN, **fields)

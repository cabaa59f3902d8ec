"""What one answer costs its budgets: reserved ahead while it runs, settled once when it is over."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from extproc import STEP, Clock, CounterState, CounterStore, Ended, Reservation, StoreUnavailable

Told = Callable[[int, Ended], None]


class Account:
    """`told` hears once what it came to. Without a reservation there is nothing to run out, and only that is done."""

    def __init__(self, store: CounterStore, clock: Clock, reservation: Reservation | None, told: Told) -> None:
        self._store = store
        self._clock = clock
        self._reservation = reservation
        self._told = told
        self._short = False  # whether a step was refused: from then on what is needed is asked for, and no more
        self.is_over = False

    async def cover(self, sent: int, wanted: int) -> CounterState | None:
        """Before so much is sent: None, or the budget that has not got it. Raises StoreUnavailable."""
        reservation = self._reservation
        if reservation is None or reservation.covers(wanted):
            return None
        now = int(self._clock.now())
        if now >= reservation.until:
            with suppress(StoreUnavailable):  # of a window that is over: nothing is wrong by that
                await self._store.settle(reservation.settlements(sent))
            reservation.turn(sent, now)
        refused = None if self._short else await reserve(self._store, reservation, wanted, STEP)
        if refused is not None or self._short:
            self._short = True
            refused = await reserve(self._store, reservation, wanted)
        return refused

    async def settle(self, total: int, ended: Ended) -> None:
        """Done twice it is done once. What no store can be told of stays reserved."""
        if self.is_over:
            return
        if self._reservation is not None:
            with suppress(StoreUnavailable):
                await self._store.settle(self._reservation.settlements(total))
        if not self.is_over:  # somebody else may have come here meanwhile
            self.is_over = True
            self._told(total, ended)


async def reserve(store: CounterStore, reservation: Reservation, wanted: int, ahead: int = 0) -> CounterState | None:
    """None, or who refuses. Raises StoreUnavailable."""
    charge = reservation.charge(wanted, ahead)
    refused = next((state for state in await store.hit(charge) if state.refuses), None)
    if refused is None:
        reservation.grant(charge)
    return refused

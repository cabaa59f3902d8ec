"""What one answer costs its budgets: reserved ahead while it runs, settled once when it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from extproc import Clock, CounterState, CounterStore, Ended, Reservation, StoreUnavailable, ahead_of

Told = Callable[[int, Ended], None]


class Account:
    """`told` hears once what it came to. Without a reservation there is nothing to run out, and only that is done."""

    def __init__(self, store: CounterStore, clock: Clock, reservation: Reservation | None, told: Told) -> None:
        self._store = store
        self._clock = clock
        self._reservation = reservation
        self._told = told
        self._ahead = 0  # nobody knows yet how much is left
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
        refused: CounterState | None = None
        for ahead in dict.fromkeys((self._ahead, 0)):
            states = await reserve(self._store, reservation, wanted, ahead)
            refused = refusing(states)
            self._ahead = 0 if refused else ahead_of(states)
            if refused is None:
                break
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


async def reserve(store: CounterStore, reservation: Reservation, wanted: int, ahead: int = 0) -> Sequence[CounterState]:
    """Raises StoreUnavailable."""
    charge = reservation.charge(wanted, ahead)
    states = await store.hit(charge)
    if refusing(states) is None:
        reservation.grant(charge)
    return states


def refusing(states: Sequence[CounterState]) -> CounterState | None:
    return next((state for state in states if state.refuses), None)

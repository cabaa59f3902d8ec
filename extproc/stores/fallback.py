"""What becomes of a call whose counters cannot be asked: each of its limits says, by `on_error`.

`deny` is an outage, and refuses. `allow` counts nothing for the time being. `local` counts in this process alone, so
that N sidecars admit N times the limit at most. A shadow refuses nobody, and so not here either.
"""

from __future__ import annotations

from collections.abc import Sequence

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import UNKNOWN, Charge, Counter, CounterState, OnError, Settlement
from extproc.core.ports import CounterStore


class Fallback:
    """`local` is where it is counted meanwhile; where there is no such place, such a limit denies."""

    def __init__(self, store: CounterStore, local: CounterStore | None = None) -> None:
        self._store = store
        self._local = local

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        try:
            return await self._store.hit(charge)
        except StoreUnavailable:
            if not all(self._goes_on(hit.counter) for hit in charge.hits):
                raise
        return await self._locally(charge)

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Where it was taken, which nobody remembers: done where it was not, it is nothing."""
        if self._local is not None:
            await self._local.settle(settlements)
        await self._store.settle(settlements)

    def _goes_on(self, counter: Counter) -> bool:
        limit = counter.limit
        if limit.on_error is OnError.LOCAL and self._local is not None:
            return True
        return limit.shadow or limit.on_error is OnError.ALLOW

    async def _locally(self, charge: Charge) -> tuple[CounterState, ...]:
        counted = tuple(hit for hit in charge.hits if hit.counter.limit.on_error is OnError.LOCAL)
        states: dict[Counter, CounterState] = {}
        if counted and self._local is not None:
            states = {state.counter: state for state in await self._local.hit(charge._replace(hits=counted))}
        return tuple([states.get(hit.counter) or _uncounted(hit.counter) for hit in charge.hits])


def _uncounted(counter: Counter) -> CounterState:
    return CounterState(counter, allowed=True, remaining=UNKNOWN, reset=0, retry_after=0)

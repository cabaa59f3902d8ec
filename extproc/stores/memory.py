"""Counters in this process's memory: exact, bounded, gone when the process ends.

One event loop runs every call and no call awaits, so a hit is atomic by construction.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import NANOSECONDS, Charge, CounterState, judge
from extproc.core.ports import Clock

Key = tuple[str, ...]

CAPACITY: Final = 1_000_000
SWEEP_PER_HIT: Final = 4  # removes faster than one hit can add, so that a full sweep is rare
REMEMBERED: Final = 10_000
REMEMBER_FOR: Final = 5 * NANOSECONDS  # longer than any retry of one call can take


class MemoryCounters:
    """A counter is one number: when it is next due. One that is due now is as good as new, and is forgotten."""

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._due: OrderedDict[Key, int] = OrderedDict()
        self._answered: OrderedDict[str, tuple[int, tuple[CounterState, ...]]] = OrderedDict()
        self._swept = 0

    def __len__(self) -> int:
        return len(self._due)

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        now = self._clock.monotonic()
        if charge.key is not None and charge.key in self._answered:
            return self._answered[charge.key][1]
        judged = [judge(hit, self._due.get(hit.counter.key, now), now) for hit in charge.hits]
        states = tuple(state for state, _ in judged)
        if all(state.allowed for state in states):
            self._store(
                [(hit.counter.key, due) for hit, (_, due) in zip(charge.hits, judged, strict=True) if hit.count], now
            )
        if charge.key is not None:
            self._remember(charge.key, states, now)
        return states

    def _store(self, charged: list[tuple[Key, int]], now: int) -> None:
        """All or nothing: a store without room for every counter charges none."""
        new = len({key for key, _ in charged if key not in self._due})
        self._forget(now, SWEEP_PER_HIT)
        if len(self._due) + new > self._capacity:
            self._sweep(now)
        if len(self._due) + new > self._capacity:
            # Evicting a live counter would hand its owner a full burst again: refuse instead, and say so.
            raise StoreUnavailable(f"{self._capacity} counters are in use, there is no room for another")
        for key, due in charged:
            self._due[key] = due
            self._due.move_to_end(key)

    def _forget(self, now: int, most: int) -> None:
        """Drop what is due from the old end."""
        for _ in range(most):
            oldest = next(iter(self._due.items()), None)
            if oldest is None or oldest[1] > now:
                return
            del self._due[oldest[0]]

    def _sweep(self, now: int) -> None:
        """Look at every counter, at most once a second: a full store must stay cheap to refuse."""
        if self._swept and now - self._swept < NANOSECONDS:
            return
        self._swept = now
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]

    def _remember(self, key: str, states: tuple[CounterState, ...], now: int) -> None:
        self._answered[key] = (now, states)
        while len(self._answered) > REMEMBERED or next(iter(self._answered.values()))[0] < now - REMEMBER_FOR:
            self._answered.popitem(last=False)

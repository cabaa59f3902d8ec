"""Counters in this process's memory: exact, bounded, gone when the process ends.

One event loop runs every call and no call awaits, so a hit is atomic by construction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from extproc.core.errors import StoreUnavailable
from extproc.core.limits import NANOSECONDS, Charge, CounterState, Hit, judge
from extproc.core.ports import Clock

Key = tuple[str, ...]
Answered = tuple[tuple[Hit, ...], tuple[CounterState, ...]]

CAPACITY: Final = 1_000_000
REMEMBERED: Final = 10_000
REMEMBER_FOR: Final = 5 * NANOSECONDS  # longer than any retry of one call can take


class MemoryCounters:
    """A counter is one number: when it is next due. One that is due now is as good as new, and is forgotten."""

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self.capacity = capacity
        self._due: OrderedDict[Key, int] = OrderedDict()
        # By the charge's key; two policies that charge for one stream ask about different counters, and are told apart.
        self._answered: OrderedDict[str, tuple[int, list[Answered]]] = OrderedDict()
        self._swept = 0

    def __len__(self) -> int:
        return len(self._due)

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        now = self._clock.monotonic()
        answered = self._answered.get(charge.key) if charge.key is not None else None
        if answered is not None and (known := _known(answered[1], charge.hits)) is not None:
            return known
        states, due = self._judge(charge, now)
        if due:
            self._store(due, now)
        if charge.key is not None:
            self._remember(charge.key, (charge.hits, states), now)
        return states

    def _judge(self, charge: Charge, now: int) -> tuple[tuple[CounterState, ...], dict[Key, int]]:
        """The states, and when each charged counter would be due: one that is hit twice is judged twice in turn."""
        states: list[CounterState] = []
        due: dict[Key, int] = {}
        refused = False
        for hit in charge.hits:
            key = hit.counter.key
            state, after = judge(hit, due[key] if key in due else self._due.get(key, now), now)
            states.append(state)
            refused = refused or not state.allowed
            if hit.count:
                due[key] = after
        if refused:
            # Nothing will be charged, so what is left is told as it stays.
            return tuple(self._uncharged(state, now) for state in states), {}
        return tuple(states), due

    def _uncharged(self, state: CounterState, now: int) -> CounterState:
        if not state.allowed:
            return state
        return judge(Hit(state.counter, 0), self._due.get(state.counter.key, now), now)[0]

    def _store(self, charged: dict[Key, int], now: int) -> None:
        """All or nothing: a store without room for every counter charges none."""
        due_of = self._due
        # Look at a few counters in turn, more than are added, so that a full sweep is rare. A live one goes to the end,
        # or one slow limit would hide the rest.
        for _ in range(min(len(charged) + 2, len(due_of))):
            key, due = due_of.popitem(last=False)
            if due > now:
                due_of[key] = due
        if len(self._due) + len(charged) > self.capacity:
            self._make_room(charged, now)
        self._due.update(charged)

    def _make_room(self, charged: dict[Key, int], now: int) -> None:
        """In a store that is nearly full; else a look at the number alone is enough."""
        if not self._has_room(charged):
            self._sweep(now)
        if not self._has_room(charged):
            # Evicting a live counter would hand its owner a full burst again: refuse instead, and say so.
            raise StoreUnavailable(f"{self.capacity} counters are in use, there is no room for another")

    def _has_room(self, charged: dict[Key, int]) -> bool:
        return len(self._due) + sum(key not in self._due for key in charged) <= self.capacity

    def _sweep(self, now: int) -> None:
        """Look at every counter, at most once a second: a full store must stay cheap to refuse."""
        if self._swept and now - self._swept < NANOSECONDS:
            return
        self._swept = now
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]

    def _remember(self, key: str, answered: Answered, now: int) -> None:
        self._answered.setdefault(key, (now, []))[1].append(answered)
        while len(self._answered) > REMEMBERED or next(iter(self._answered.values()))[0] < now - REMEMBER_FOR:
            self._answered.popitem(last=False)


def _known(answered: Sequence[Answered], asked: tuple[Hit, ...]) -> tuple[CounterState, ...] | None:
    """What the same question was answered for this key before."""
    return next((states for hits, states in answered if hits == asked), None)

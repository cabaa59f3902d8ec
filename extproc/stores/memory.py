"""Counters in this process's memory: exact, bounded, gone when the process ends but for what `quota_file.py` keeps.

One event loop runs every call and no call awaits, so a hit is atomic by construction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Final, NamedTuple

from extproc.core.calendar import Window
from extproc.core.errors import StoreUnavailable
from extproc.core.judging import (
    Leases,
    Slices,
    Used,
    judge,
    judge_sliding,
    judge_slots,
    judge_used,
    lease_until,
    settled,
    taken_along,
)
from extproc.core.limits import NANOSECONDS, SLICES, Charge, CounterState, Hit, Kind, Settlement
from extproc.core.ports import Clock

Key = str
Answered = tuple[tuple[Hit, ...], tuple[CounterState, ...]]

CAPACITY: Final = 1_000_000
REMEMBERED: Final = 10_000
REMEMBER_FOR: Final = 5 * NANOSECONDS  # longer than any retry of one call can take
RESERVATIONS: Final = 100_000  # of one that is forgotten, what was reserved stays charged


class Kept(NamedTuple):
    """What a counter other than a rate keeps, until it is as good as new: by the clock on the wall where it follows the
    calendar, else by the one that never steps back."""

    value: Used | Slices | Leases
    until: int


class Slot(NamedTuple):
    """A slot to be taken, once every counter has agreed."""

    leases: Leases
    holder: str
    until: int

    def take(self) -> None:
        self.leases.pop(self.holder, None)  # or a slot that is taken again would stand before older ones
        self.leases[self.holder] = self.until


class Moment(NamedTuple):
    """When a charge is judged, by both clocks, and who holds what it takes."""

    now: int
    wall: int
    holder: str


Due = dict[Key, int]
After = dict[Key, Used | Slices | Slot]


class MemoryCounters:
    """The counter of a rate is one number: when it is next due. One that is due now is as good as new, and is
    forgotten. The others keep what their kind needs."""

    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self.capacity = capacity
        self._due: Due = {}
        self._kept: dict[Key, Kept] = {}
        # Those that are to be looked at before any is looked at again. Dictionaries that keep an order to move things
        # in take a third more for a million counters.
        self._due_next: list[Key] = []
        self._kept_next: list[Key] = []
        self._reserved: OrderedDict[tuple[Key, str], tuple[int, Window]] = OrderedDict()
        self._changed: set[Key] = set()
        # By the charge's key; two policies that charge for one stream ask about different counters, and are told apart.
        self._answered: OrderedDict[str, tuple[int, list[Answered]]] = OrderedDict()
        self._swept = 0
        self._nameless = count()

    def __len__(self) -> int:
        return len(self._due) + len(self._kept)

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        now = charge.at.monotonic if charge.at else self._clock.monotonic()
        answered = self._answered.get(charge.key) if charge.key is not None else None
        if answered is not None and (known := _known(answered[1], charge.hits)) is not None:
            return known
        states, due, after = self._judge(charge, now)
        if due or after:
            self._store(due, after, charge, now)
        if charge.key is not None:
            self._remember(charge.key, (charge.hits, states), now)
        return states

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        for settlement in settlements:
            self._settle(settlement)

    def used(self) -> dict[Key, Used]:
        """What those counters of the calendar hold that changed since somebody asked last."""
        changed, self._changed = self._changed, set()
        return {key: kept.value for key in changed if (kept := self._kept.get(key)) and isinstance(kept.value, Used)}

    def unsaved(self, keys: Iterable[Key]) -> None:
        """They count as changed again."""
        self._changed.update(keys)

    def restore(self, used: Mapping[Key, Used]) -> None:
        """What an earlier process wrote down, without windows that are over. Raises StoreUnavailable."""
        wall = self._wall()
        for key, value in used.items():
            if value.window.end * NANOSECONDS > wall:
                self._kept[key] = Kept(value, value.window.end * NANOSECONDS)
        if len(self) > self.capacity:
            raise StoreUnavailable(f"{len(self)} counters were kept, and there is room for {self.capacity}")

    def _judge(self, charge: Charge, now: int) -> tuple[tuple[CounterState, ...], Due, After]:
        """The states, and what each charged counter would keep: one that is hit twice is judged twice in turn."""
        states: list[CounterState] = []
        due: Due = {}
        after: After = {}
        moment: Moment | None = None
        refused = False
        for hit in charge.hits:
            limit = hit.counter.limit
            if limit.kind is Kind.RATE:
                key = hit.counter.key
                state, next_due = judge(hit, due[key] if key in due else self._due.get(key, now), now)
                if hit.count and state.allowed:
                    due[key] = next_due
            else:
                if moment is None:
                    wall = int(charge.at.time * NANOSECONDS) if charge.at else self._wall()
                    moment = Moment(now, wall, charge.held_by or f"#{next(self._nameless)}")
                state = self._judge_other(hit, after, moment)
            states.append(state)
            refused = refused or (not state.allowed and not limit.shadow)
        if refused:
            # Nothing will be charged, so what is left is told as it stays.
            return tuple([self._uncharged(state, now) for state in states]), {}, {}
        return tuple(states), due, after

    def _judge_other(self, hit: Hit, after: After, moment: Moment) -> CounterState:
        counter = hit.counter
        key, limit = counter.key, counter.limit
        kept = self._kept.get(key)
        value = after.get(key) or (kept.value if kept else None)
        judged: Used | Slices | Slot
        if limit.calendar is not None:
            window = limit.calendar.window(moment.wall // NANOSECONDS)
            used = taken_along(value, window) if isinstance(value, Used) else None
            if used is not value and isinstance(used, Used):
                self._kept[key] = Kept(used, window.end * NANOSECONDS)
            state, judged = judge_used(hit, used, window, moment.wall)
        elif limit.kind is Kind.SLIDING:
            slices = value if value and not isinstance(value, Used | Slot | OrderedDict) else ()
            state, judged = judge_sliding(hit, slices, moment.now)
        else:
            leases = value.leases if isinstance(value, Slot) else value if isinstance(value, OrderedDict) else Leases()
            state = judge_slots(hit, leases, moment.holder, moment.now)
            judged = Slot(leases, moment.holder, lease_until(hit, moment.now))
        if hit.count and state.allowed:
            after[key] = judged
        return state

    def _uncharged(self, state: CounterState, now: int) -> CounterState:
        if not state.allowed:
            return state
        look = Hit(state.counter, 0)
        if state.counter.limit.kind is Kind.RATE:
            return judge(look, self._due.get(state.counter.key, now), now)[0]
        return self._judge_other(look, {}, Moment(now, self._wall(), ""))

    def _store(self, due: Due, after: After, charge: Charge, now: int) -> None:
        """All or nothing: a store without room for every counter charges none."""
        charged = len(due) + len(after)
        self._forget_some(charged + 2, now)
        if len(self) + charged > self.capacity:
            self._make_room(due, after, now)
        self._due.update(due)
        if after:
            self._keep(after, charge, now)

    def _keep(self, after: After, charge: Charge, now: int) -> None:
        for key, value in after.items():
            if isinstance(value, Used):
                self._kept[key] = Kept(value, value.window.end * NANOSECONDS)
                self._changed.add(key)
            elif isinstance(value, Slot):
                value.take()
                self._kept[key] = Kept(value.leases, value.until)
            else:
                self._kept[key] = Kept(value, now + _outlasts(key, charge))
        if charge.held_by is not None:
            self._reserve(charge.held_by, charge.hits, after)

    def _reserve(self, held: str, hits: Sequence[Hit], after: After) -> None:
        for hit in hits:
            value = after.get(hit.counter.key)
            if hit.counter.limit.kind is Kind.BUDGET and isinstance(value, Used):
                before, window = self._reserved.get((hit.counter.key, held), (0, value.window))
                # What an earlier window holds is that one's, and nothing of it is given back to this one.
                amount = hit.count + (before if window == value.window else 0)
                self._reserved[hit.counter.key, held] = (amount, value.window)
        while len(self._reserved) > RESERVATIONS:
            self._reserved.popitem(last=False)

    def _settle(self, settlement: Settlement) -> None:
        key = settlement.counter.key
        kept = self._kept.get(key)
        reserved = self._reserved.pop((key, settlement.held), None)
        if kept is None:
            return
        if isinstance(kept.value, OrderedDict):
            kept.value.pop(settlement.held, None)
        elif isinstance(kept.value, Used) and reserved is not None:
            self._kept[key] = kept._replace(value=settled(kept.value, *reserved, settlement.amount))
            self._changed.add(key)

    def _forget_some(self, number: int, now: int) -> None:
        """Look at a few counters in turn, more than are added, so that a full sweep is rare."""
        due_next = self._due_next = self._due_next or list(self._due)
        for _ in range(min(number, len(due_next))):
            key = due_next.pop()
            if self._due.get(key, now + 1) <= now:
                del self._due[key]
        if not self._kept:
            return
        wall = self._wall()
        kept_next = self._kept_next = self._kept_next or list(self._kept)
        for _ in range(min(number, len(kept_next))):
            key = kept_next.pop()
            kept = self._kept.get(key)
            if kept is not None and _is_over(kept, now, wall):
                del self._kept[key]

    def _make_room(self, due: Due, after: After, now: int) -> None:
        """In a store that is nearly full; else a look at the number alone is enough."""
        if not self._has_room(due, after):
            self._sweep(now)
        if not self._has_room(due, after):
            # Evicting a live counter would hand its owner a full burst again: refuse instead, and say so.
            raise StoreUnavailable(f"{self.capacity} counters are in use, there is no room for another")

    def _has_room(self, due: Due, after: After) -> bool:
        new = sum(key not in self._due for key in due) + sum(key not in self._kept for key in after)
        return len(self) + new <= self.capacity

    def _sweep(self, now: int) -> None:
        """Look at every counter, at most once a second: a full store must stay cheap to refuse."""
        if self._swept and now - self._swept < NANOSECONDS:
            return
        self._swept = now
        for key in [key for key, due in self._due.items() if due <= now]:
            del self._due[key]
        wall = self._wall()
        for key in [key for key, kept in self._kept.items() if _is_over(kept, now, wall)]:
            del self._kept[key]

    def _wall(self) -> int:
        return int(self._clock.now() * NANOSECONDS)

    def _remember(self, key: str, answered: Answered, now: int) -> None:
        self._answered.setdefault(key, (now, []))[1].append(answered)
        while len(self._answered) > REMEMBERED or next(iter(self._answered.values()))[0] < now - REMEMBER_FOR:
            self._answered.popitem(last=False)


def _is_over(kept: Kept, now: int, wall: int) -> bool:
    if isinstance(kept.value, OrderedDict) and not kept.value:
        return True
    return kept.until <= (wall if isinstance(kept.value, Used) else now)


def _outlasts(key: Key, charge: Charge) -> int:
    """How long a sliding counter is needed after it was charged."""
    width = next(hit.counter.limit.interval for hit in charge.hits if hit.counter.key == key)
    return width * (SLICES + 1)


def _known(answered: Sequence[Answered], asked: tuple[Hit, ...]) -> tuple[CounterState, ...] | None:
    """What the same question was answered for this key before."""
    return next((states for hits, states in answered if hits == asked), None)

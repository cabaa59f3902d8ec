"""Calendar counters in this process's memory: exact, bounded, gone when the process ends.

One event loop runs every call and no call awaits, so an addition is atomic by construction. All counters of a unit end
at once, so each unit has one table, and nobody looks for those that have ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from extproc.core.counter_keys import counter_name
from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Clock
from extproc.core.windows import Addition, Counted, Unit, goes_on, grown

CAPACITY: Final = 1_000_000  # some 200 MB, whatever the clients send: names are bounded
FREED: Final = 100  # counters of an ended window that each call frees: a million at once would keep everybody waiting


@dataclass(slots=True)
class _Table:
    """The counters of one unit, and the number of their window since 1970."""

    begun: int
    held: dict[bytes, int] = field(default_factory=dict)


class MemoryWindows:
    def __init__(self, clock: Clock, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self.capacity = capacity
        self._tables: dict[Unit, _Table] = {}
        self._ended: list[dict[bytes, int]] = []

    def __len__(self) -> int:
        """Those that are in memory, also of windows that have ended."""
        return sum([len(table.held) for table in self._tables.values()]) + sum(map(len, self._ended))

    async def add(self, additions: tuple[Addition, ...]) -> Counted:
        now = int(self._clock.now())
        before: list[int] = []
        after: dict[tuple[Unit, bytes], int] = {}
        for key, unit, hits in additions:
            name = counter_name(key)
            held = after.get((unit, name))
            if held is None:
                held = self._table(unit, now).held.get(name, 0)
            before.append(held)
            if hits:
                after[unit, name] = grown(held, hits)
        self._store(after, now)
        return Counted(now, tuple(before))

    def _table(self, unit: Unit, now: int) -> _Table:
        window = now // unit.value
        table = self._tables.get(unit)
        if table is None or not goes_on(table.begun, window):
            if table is not None:
                self._ended.append(table.held)
            table = self._tables[unit] = _Table(window)
        return table

    def _store(self, after: dict[tuple[Unit, bytes], int], now: int) -> None:
        """All or nothing: a store without room for every counter adds to none."""
        self._free(FREED)
        new = sum([name not in self._tables[unit].held for unit, name in after])
        if new and len(self) + new > self.capacity:
            self._end_all(now)
            self._free(new)
            if len(self) + new > self.capacity:
                # Evicting a live counter would hand its owner a whole limit again: refuse instead, and say so.
                raise StoreUnavailable(f"{self.capacity} counters are in use, there is no room for another")
        for (unit, name), held in after.items():
            self._tables[unit].held[name] = held

    def _end_all(self, now: int) -> None:
        """Also of units that nobody has asked about since."""
        for unit in list(self._tables):
            self._table(unit, now)

    def _free(self, count: int) -> None:
        while count > 0 and self._ended:
            held = self._ended[-1]
            for _ in range(min(count, len(held))):
                held.popitem()
                count -= 1
            if not held:
                self._ended.pop()

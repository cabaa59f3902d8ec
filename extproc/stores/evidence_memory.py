"""Evidence in the sidecar's own memory. It is forgotten when the sidecar ends."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from extproc.core.evidence import (
    NOTHING,
    Evidence,
    Series,
    Slot,
    Sums,
    cover,
    ends_at,
    points,
    slots_of,
    total,
)
from extproc.core.ports import Clock

TIDY_EVERY: Final = 60.0  # seconds
BATCHES: Final = 1_000  # of those told last, so that none is added twice


class MemoryEvidence:
    """Bounded by its slots, and by the names of models and versions, which are the plan's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._slots: dict[tuple[str, Slot], dict[str, Evidence]] = {}
        self._batches: OrderedDict[str, None] = OrderedDict()
        self._tidied = 0.0

    def __len__(self) -> int:
        return len(self._slots)

    async def add(self, sums: Sums, batch: str) -> None:
        if batch in self._batches:
            return
        self._batches[batch] = None
        if len(self._batches) > BATCHES:
            self._batches.popitem(last=False)
        now = self._clock.now()
        for told, evidence in sums.items():
            for slot in slots_of(told.second, now):
                versions = self._slots.setdefault((told.model, slot), {})
                versions[told.version] = versions.get(told.version, NOTHING) + evidence
        self._tidy(now)

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        slots = cover(since, until, self._clock.now())
        return total([found for slot in slots if (found := self._slots.get((model, slot)))])

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        return tuple([(begin, await self.of(model, begin, end)) for begin, end in points(since, until, step)])

    def _tidy(self, now: float) -> None:
        if now - self._tidied >= TIDY_EVERY:
            self._tidied = now
            self._slots = {key: found for key, found in self._slots.items() if ends_at(key[1]) > now}

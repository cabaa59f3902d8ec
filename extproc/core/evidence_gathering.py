"""Evidence that has not been saved yet. Bounded: while nobody takes it, what is oldest is given up, and counted."""

from __future__ import annotations

from typing import Final

from extproc.core.evidence import Growing, Seen, Sums, Told

MOST: Final = 5_000  # seconds of versions, of some 700 bytes each: of two versions, forty minutes


class EvidenceGathering:
    """`lost` counts the requests that were given up."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sums: dict[Told, Growing] = {}
        self.lost = 0

    def __len__(self) -> int:
        return len(self._sums)

    def add(self, told: Told, seen: Seen) -> None:
        growing = self._sums.get(told)
        if growing is None:
            if len(self._sums) >= self._most:
                self.lost += self._sums.pop(next(iter(self._sums))).requests
            growing = self._sums[told] = Growing()
        growing.add(seen)

    def take(self) -> Sums:
        """All of it, which is somebody else's from then on."""
        taken, self._sums = self._sums, {}
        return {told: growing.evidence for told, growing in taken.items()}

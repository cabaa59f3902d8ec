"""Answers that were dear to get, kept for as long as they are good and no longer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

from extproc.core.limits import NANOSECONDS
from extproc.core.ports import Clock

T = TypeVar("T")


class Remembered(Generic[T]):
    """At most `capacity` answers, each until its own end; where there is no room, the one that nobody asked for longest
    is forgotten. Keys of secrets are hashes: whoever reads this memory must not find a credential."""

    def __init__(self, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._kept: OrderedDict[bytes, tuple[int, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> T | None:
        found = self._kept.get(key)
        if found is None:
            return None
        end, answer = found
        if end <= self._clock.monotonic():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return answer

    def keep(self, key: bytes, answer: T, seconds: float) -> None:
        """Nothing is kept for no time."""
        if seconds <= 0:
            return
        self._kept[key] = (self._clock.monotonic() + round(seconds * NANOSECONDS), answer)
        self._kept.move_to_end(key)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)

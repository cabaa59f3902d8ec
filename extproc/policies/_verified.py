"""Tokens that were verified a moment ago: a signature costs as much as the rest of a decision."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final, NamedTuple

from extproc import Consumer

MOST: Final = 10_000  # tokens; the one that was shown longest ago goes first
LARGEST: Final = 4_096  # bytes of a token: with the claims of a larger one, MOST of them would fill the memory


class Verified(NamedTuple):
    consumer: Consumer
    until: float


class VerifiedTokens:
    """Whom a token stands for, by the token's SHA-256, while the keys are those that verified it and its time lasts."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[bytes, Verified] = OrderedDict()
        self._generation = 0

    def __len__(self) -> int:
        return len(self._kept)

    def forget(self) -> None:
        self._kept.clear()

    def consumer_of(self, token: str, generation: int, now: float) -> Consumer | None:
        if generation != self._generation:
            self.forget()
            self._generation = generation
        digest = hashlib.sha256(token.encode()).digest()
        found = self._kept.get(digest)
        if found is None:
            return None
        if found.until <= now:
            del self._kept[digest]
            return None
        self._kept.move_to_end(digest)
        return found.consumer

    def remember(self, token: str, generation: int, consumer: Consumer, until: float) -> None:
        if len(token) > LARGEST or generation != self._generation:
            return
        self._kept[hashlib.sha256(token.encode()).digest()] = Verified(consumer, until)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

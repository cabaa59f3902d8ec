"""Which version of a model a caller gets: a weighted draw that sticks.

Weighted rendezvous hashing (Thaler & Ravishankar's highest random weight, with Schindelhauer & Schomaker's logarithm):
every version scores -weight / ln(u) with u drawn from (subject, version). A version's score depends on its own weight
alone, so when one weight grows against the others, callers move to that version and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from extproc.core.specs import Version

BITS: Final = 52  # so that the draw, and half a step beside it, are exact floats below 1
STEP: Final = 1 / (1 << BITS)


class Draw:
    """Of these versions, those that have a weight. Whatever has the same salt draws alike."""

    def __init__(self, salt: str, versions: Sequence[Version]) -> None:
        # The lengths keep (ab, c) and (a, bc) apart whatever the names contain.
        self._weighted = [
            (version, -version.weight, f"{len(salt)}:{salt}{len(version.name)}:{version.name}".encode())
            for version in versions
            if version.weight > 0
        ]

    def of(self, subject: str) -> Version | None:
        """The version of the highest score; None where none has any weight. In one frame: a call for each version
        would cost as much as its hash."""
        drawn, highest, text, from_bytes, log = None, 0.0, subject.encode(), int.from_bytes, math.log
        for version, negative, prefix in self._weighted:
            digest = from_bytes(blake2b(prefix + text, digest_size=8).digest(), "big")
            score = negative / log(((digest >> 64 - BITS) + 0.5) * STEP)
            if score > highest:
                drawn, highest = version, score
        return drawn


def choose(salt: str, versions: Sequence[Version], subject: str) -> Version:
    """One draw.

    Raises:
        ValueError: no version has any weight.
    """
    drawn = Draw(salt, versions).of(subject)
    if drawn is None:
        raise ValueError("no version has any weight")
    return drawn

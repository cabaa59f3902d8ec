"""Which version of a model a caller gets: a weighted draw that sticks.

Weighted rendezvous hashing (Thaler & Ravishankar's highest random weight, with Schindelhauer & Schomaker's logarithm):
every version scores -weight / ln(u) with u drawn from (subject, version). A version's score depends on its own weight
alone, so when one weight grows against the others, callers move to that version and nowhere else.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from extproc.core.specs import Version

BITS = 52  # so that the draw, and half a step beside it, are exact floats below 1


def choose(model: str, versions: Sequence[Version], subject: str) -> Version:
    """The version of the highest score; one without weight is never chosen.

    Raises:
        ValueError: no version has any weight.
    """
    weighted = [version for version in versions if version.weight > 0]
    return max(weighted, key=lambda version: _score(model, version, subject))


def _score(model: str, version: Version, subject: str) -> float:
    # The lengths keep (ab, c) and (a, bc) apart whatever the names contain.
    text = f"{len(model)}:{model}{len(version.name)}:{version.name}{subject}"
    drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> (64 - BITS)
    return -version.weight / math.log((drawn + 0.5) / (1 << BITS))

"""When keys are fetched again, and for how long they are believed: arithmetic on a clock that somebody else reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from extproc.core.headers import Headers
from extproc.core.limits import NANOSECONDS

LIFETIME: Final = 300.0  # seconds, where an issuer does not say how long its set is good
SHORTEST: Final = 30.0
LONGEST: Final = 3_600.0  # a key that the issuer has withdrawn is believed no longer than this
EARLY: Final = 0.8  # of its lifetime: what is fetched in good time is there when it is needed
COOLDOWN: Final = 30.0  # between two fetches for the sake of a key id that nobody knows; anybody may invent one
FIRST_RETRY: Final = 1.0
SLOWEST_RETRY: Final = 60.0
MAX_AGE: Final = re.compile(r'(?:^|[\s,])max-age\s*=\s*"?([0-9]{1,10})"?(?=$|[\s,])', re.IGNORECASE)
NOT_KEPT: Final = re.compile(r"(?:^|[\s,])no-(?:store|cache)(?=$|[\s,])", re.IGNORECASE)


@dataclass(slots=True)
class Freshness:
    """Times are those of `Clock.monotonic`. `failures` counts those since the last good fetch."""

    outlast: int
    due: int = 0
    failures: int = 0
    fetched: int | None = None
    asked: int | None = None

    def succeeded(self, now: int, lifetime: float) -> None:
        self.fetched, self.failures = now, 0
        self.due = now + round(lifetime * EARLY * NANOSECONDS)

    def failed(self, now: int) -> None:
        """Twice as patient each time."""
        patience = min(FIRST_RETRY * 2.0 ** min(self.failures, 16), SLOWEST_RETRY)
        self.failures += 1
        self.due = now + round(patience * NANOSECONDS)

    def may_ask(self, now: int) -> bool:
        """Whether an unknown key id is worth a fetch now. After a failure it is not: another comes anyway."""
        return self.failures == 0 and (self.asked is None or now - self.asked >= COOLDOWN * NANOSECONDS)

    def ask(self, now: int) -> None:
        self.asked = self.due = now

    def is_believed(self, now: int) -> bool:
        return self.fetched is not None and now - self.fetched <= self.outlast


def lifetime_of(headers: Headers) -> float:
    """How long an answer is good, in seconds (RFC 9111 §5.2.2), within our bounds."""
    stated = ",".join(headers.all("cache-control"))
    if NOT_KEPT.search(stated):
        return SHORTEST
    found = MAX_AGE.search(stated)
    return min(max(float(found[1]), SHORTEST), LONGEST) if found else LIFETIME

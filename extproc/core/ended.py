"""What the end of a request says of the version that answered it.

Whatever the gateway refuses itself says nothing of a version, and neither does a client that goes away: whoever opens
requests and leaves them must not make a version look bad, nor fast.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from extproc.core.evidence import Seen, bucket_of
from extproc.core.message import Chosen

FAILED: Final = 500  # and above
OVERLOADED: Final = 429  # of an upstream: the version cannot take what it is given
MOST_TOKENS: Final = 2**40  # of one request; more is a lie, and several of them would fill a sum
# Up to nine digits: no sign, no exponent, and so neither an infinity nor what is no number.
SCORE: Final = re.compile(r"(?:0|1)(?:\.[0-9]{1,9})?|\.[0-9]{1,9}", re.ASCII)


class Ended(NamedTuple):
    """A request to a model. `chosen` is the version that was decided for, `answered` and `fallen_back` what the answer
    says: who made it, and instead of whom. Times are seconds since the start: `sent` when the version had all of the
    request, `first` and `last` when its answer's bytes came, `over` when everything was; None: it never was.

    `from_upstream`: the answer is the version's own. `no_answer`: the version failed to give one, or broke it off.
    """

    model: str
    chosen: str
    second: int
    status: int = 0
    from_upstream: bool = True
    no_answer: bool = False
    client_left: bool = False
    sent: float | None = None
    first: float | None = None
    last: float | None = None
    over: float | None = None
    stream: bool = False
    answered: str = ""
    fallen_back: str = ""
    tokens: int = 0
    score: float | None = None
    request_id: str = ""
    consumer: str = ""

    @property
    def counts(self) -> bool:
        return (self.from_upstream or self.no_answer) and not self.client_left

    @property
    def version(self) -> str:
        """Whose answer it is."""
        return Chosen(self.model, self.chosen).answered_by(self.answered, self.fallen_back).version

    def seen(self) -> tuple[tuple[str, Seen], ...]:
        """By version: of who answered, and of who failed before. Nothing where it says nothing."""
        if not self.counts:
            return ()
        error, latency = self.error, self.latency
        bucket = None if latency is None else bucket_of(latency)
        own = Seen(1, error, bucket, min(max(0, self.tokens), MOST_TOKENS), None if error else self.score)
        version = self.version
        return ((version, own),) if version == self.chosen else ((version, own), (self.chosen, FAILURE))

    @property
    def error(self) -> bool:
        return self.no_answer or self.status >= FAILED or self.status == OVERLOADED

    @property
    def latency(self) -> float | None:
        """The version's own: from when it had the request to the answer's last byte, of a stream to its first; how fast
        a client sends or reads is no part of it. Where no answer came, as long as was waited for one."""
        if self.sent is None:
            return None  # it never had the request
        until = self.first if self.stream else self.last
        until = self.over if until is None else until
        return None if until is None else max(0.0, until - self.sent)


FAILURE: Final = Seen(error=True)


def read_score(text: str) -> float | None:
    """A number from 0 to 1, in digits; None is anything else."""
    score = float(text) if SCORE.fullmatch(text) else None
    return score if score is not None and score <= 1 else None

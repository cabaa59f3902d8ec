"""What applications say of answers afterwards, by the request's id.

Whoever says it is not told whether it counts, so nobody learns by guessing which ids there are. It counts once for each
request, and of a consumer only for its own.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final, NamedTuple

ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)  # Envoy's own are UUIDs
WITHIN: Final = 900  # seconds: for how long what was answered can be scored
EARLY: Final = 10.0  # seconds: Envoy tells of a request some two after it has ended, and feedback may come before
MOST_ANSWERS_A_SECOND: Final = 500  # of a sidecar; of more, some cannot be scored
MOST_PENDING: Final = 5_000
MOST_OF_ONE: Final = 60  # of one consumer in a minute
MOST_CONSUMERS: Final = 10_000  # in a minute, whose scores are taken
MINUTE: Final = 60


class Answered(NamedTuple):
    """Who answered a request, and whose it was. `second` is when it began."""

    model: str
    version: str
    second: int
    consumer: str


class Feedback(NamedTuple):
    """`consumer` None: it comes from somebody who may say it of anybody's requests."""

    request_id: str
    score: float
    consumer: str | None


class Allowance(NamedTuple):
    minute: int
    used: dict[str, int]


class Pending:
    """Feedback that waits until it is known which request it is of. Bounded, and so is each consumer's part of it: a
    version is not judged by whoever says most."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, tuple[float, Feedback]] = OrderedDict()
        self._allowance = Allowance(0, {})

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, feedback: Feedback, now: float) -> bool:
        """Whether it is taken. What was said of the same request and waits still is not said anew."""
        if len(self._waiting) >= MOST_PENDING or not self._allowed(feedback.consumer, int(now) // MINUTE):
            return False
        key = f"{feedback.request_id} {feedback.consumer or ''}"  # whoever guesses an id keeps nobody else's out
        self._waiting.setdefault(key, (now, feedback))
        return True

    def _allowed(self, consumer: str | None, minute: int) -> bool:
        if consumer is None:
            return True
        if minute != self._allowance.minute:
            self._allowance = Allowance(minute, {})
        used = self._allowance.used
        count = used.get(consumer, 0)
        if count >= MOST_OF_ONE or (count == 0 and len(used) >= MOST_CONSUMERS):
            return False
        used[consumer] = count + 1
        return True

    def take(self) -> list[tuple[float, Feedback]]:
        """All of it, with the moments since which it waits."""
        taken = list(self._waiting.values())
        self._waiting.clear()
        return taken

    def give_back(self, waiting: list[tuple[float, Feedback]], now: float) -> int:
        """What is to be tried again. The number of those that have waited for long enough."""
        for since, feedback in waiting:
            if now - since < EARLY:
                self._waiting.setdefault(f"{feedback.request_id} {feedback.consumer or ''}", (since, feedback))
        return sum(now - since >= EARLY for since, _ in waiting)

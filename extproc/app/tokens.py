"""What metered answers came to, told to whoever sums it up: usage by consumer, and metrics."""

from __future__ import annotations

from collections.abc import Callable

from extproc.core.message import Consumer
from extproc.core.ports import Clock
from extproc.core.usage import Usage, Used, hour_of, status_class


class TokensTold:
    """`count` gathers what consumers used, or nobody does. Requests are counted when Envoy tells of their end."""

    def __init__(
        self, clock: Clock, count: Callable[[Used, Usage], None] | None, measure: Callable[[str, int, str], None]
    ) -> None:
        self._clock = clock
        self._count = count
        self._measure = measure

    def __call__(self, route: str, consumer: Consumer | None, status: int, tokens: int, ended: str) -> None:
        self._measure(route, tokens, ended)
        if self._count is None:
            return
        who, tier = (consumer.id, consumer.tier or "") if consumer else ("", "")
        used = Used(hour_of(int(self._clock.now())), who, tier, route, status_class(status))
        self._count(used, Usage(0, tokens=tokens))

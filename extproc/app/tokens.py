"""What metered answers came to, told to whoever sums it up: usage by consumer, evidence by version, and metrics."""

from __future__ import annotations

from collections.abc import Callable

from extproc.core.evidence import Seen, Told
from extproc.core.message import Chosen, Consumer
from extproc.core.ports import Clock
from extproc.core.usage import Usage, Used, hour_of, status_class

NO_MODEL = ("", "")


class TokensTold:
    """`count` gathers what consumers used, `see` what versions did, or nobody does. Requests are counted when Envoy
    tells of their end."""

    def __init__(
        self,
        clock: Clock,
        count: Callable[[Used, Usage], None] | None,
        measure: Callable[[str, int, str], None],
        see: Callable[[Told, Seen], None] | None = None,
    ) -> None:
        self._clock = clock
        self._count = count
        self._measure = measure
        self._see = see

    def __call__(
        self,
        route: str,
        consumer: Consumer | None,
        status: int,
        tokens: int,
        ended: str,
        chosen: Chosen | None = None,
    ) -> None:
        self._measure(route, tokens, ended)
        now = int(self._clock.now())
        if self._see is not None and chosen is not None:
            self._see(Told(*chosen, now), Seen(0, tokens=tokens))
        if self._count is None:
            return
        who, tier = (consumer.id, consumer.tier or "") if consumer else ("", "")
        used = Used(hour_of(now), who, tier, route, status_class(status), *(chosen or NO_MODEL))
        self._count(used, Usage(0, tokens=tokens))

"""Who used how much: sums over the requests of an hour. No request is kept by itself.

Best effort, by its nature: it is told by Envoy's access log, which loses entries while the sidecar is away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Protocol

HOUR: Final = 3_600
MOST: Final = 10_000  # sums of a worker that wait to be saved, and of one hour: what is more is of OTHERS together
OTHERS: Final = "(others)"
NO_ANSWER: Final = "none"  # the client went away before
LONGEST: Final = 200  # characters of a consumer's or tier's name; a token may name somebody at any length


class Usage(NamedTuple):
    """One request, or several."""

    requests: int = 1
    bytes_in: int = 0
    bytes_out: int = 0
    tokens: int = 0

    def plus(self, other: Usage) -> Usage:
        return Usage(*map(sum, zip(self, other, strict=True)))


NONE: Final = Usage(0)


class Used(NamedTuple):
    """What is summed apart. `hour` is its beginning, in seconds of the epoch; `status` its class, as `2xx`; `model` and
    `version` are empty where the route leads to no model."""

    hour: int
    consumer: str
    tier: str
    route: str
    status: str
    model: str = ""
    version: str = ""


Sums = Mapping[Used, Usage]


def hour_of(moment: int) -> int:
    """Where it begins, in seconds of the epoch."""
    return moment - moment % HOUR


def status_class(status: int) -> str:
    return f"{status // 100}xx" if status else NO_ANSWER


class UsageStore(Protocol):
    async def add(self, sums: Sums) -> None:
        """Raises StoreUnavailable: nothing was added, or nobody knows."""

    async def since(self, moment: int) -> Sums:
        """The sums of all hours from the one of this moment on. Raises StoreUnavailable."""


class Gathering:
    """What has not been saved yet. Bounded: a crowd of names costs no memory, and no name that is known is lost."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._sums: dict[Used, Usage] = {}
        self._hour = 0
        self._known: set[Used] = set()  # of this hour, saved or not: a store is bounded as well

    def add(self, used: Used, usage: Usage) -> None:
        if used.hour > self._hour:
            self._hour, self._known = used.hour, set()
        bounded = used._replace(
            consumer=used.consumer[:LONGEST], tier=used.tier[:LONGEST], route=used.route[:LONGEST]
        )  # the other names are the plan's
        if bounded not in self._known:
            if len(self._known) >= self._most or len(self._sums) >= self._most:
                bounded = bounded._replace(consumer=OTHERS, tier="")
            self._known.add(bounded)
        self._sums[bounded] = self._sums.get(bounded, NONE).plus(usage)

    def take(self) -> Sums:
        """All of it, which is somebody else's from then on."""
        taken, self._sums = self._sums, {}
        return taken

    def give_back(self, sums: Sums) -> None:
        """What could not be saved."""
        for used, usage in sums.items():
            self.add(used, usage)


class Group(NamedTuple):
    """What sums are told by. Empty is what nobody asked for, and what there is none of."""

    consumer: str
    tier: str
    route: str = ""
    model: str = ""
    version: str = ""


def summed(
    sums: Sums, *, by_route: bool, consumer: str | None = None, by_model: bool = False
) -> dict[Group, dict[str, Usage]]:
    """By consumer, tier and, where wanted, route, model and version: the sums of each class of status."""
    totals: dict[Group, dict[str, Usage]] = {}
    for used, usage in sorted(sums.items()):
        if consumer is None or used.consumer == consumer:
            model, version = (used.model, used.version) if by_model else ("", "")
            group = Group(used.consumer, used.tier, used.route if by_route else "", model, version)
            classes = totals.setdefault(group, {})
            classes[used.status] = classes.get(used.status, NONE).plus(usage)
    return totals


def total(usages: Iterable[Usage]) -> Usage:
    result = NONE
    for usage in usages:
        result = result.plus(usage)
    return result

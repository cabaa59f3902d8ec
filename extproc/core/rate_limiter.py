"""What envoyproxy/ratelimit answers: each descriptor judged and charged on its own, over or not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from extproc.core.descriptors import DescriptorLimit, Entry, Found, Node, find, spelled
from extproc.core.errors import InvalidCall
from extproc.core.ports import LimitMeter, WindowCounters
from extproc.core.tally import NEAR, tally
from extproc.core.windows import Addition, Counted, Unit

EVERYTHING: Final = 2**32 - 1  # what remains of no limit at all: the largest number that the answer can say
MOST_DESCRIPTORS: Final = 1_000  # in a call: Envoy makes one for each limit of a route, and others wait meanwhile
Domains = Mapping[str, Node]


class Override(NamedTuple):
    """A limit that Envoy brings along. `unit` is None where it names none that there is."""

    requests: int
    unit: Unit | None


class Descriptor(NamedTuple):
    """`hits` is None where the call's own number counts; 0 only looks."""

    entries: tuple[Entry, ...]
    hits: int | None = None
    gives_back: bool = False
    override: Override | None = None


class LimitCall(NamedTuple):
    domain: str
    descriptors: tuple[Descriptor, ...]
    hits: int = 0


class Status(NamedTuple):
    """What one descriptor is told. `reset` is in seconds; without a limit there is none."""

    over: bool
    limit: DescriptorLimit | None
    remaining: int
    reset: int = 0


NO_LIMIT: Final = Status(over=False, limit=None, remaining=0)
UNLIMITED: Final = Status(over=False, limit=None, remaining=EVERYTHING)


class Answered(NamedTuple):
    """`tightest` is the status that a client should hear of, if any; `metadata` is of the limits that let it pass."""

    over: bool
    statuses: tuple[Status, ...]
    tightest: Status | None = None
    metadata: tuple[Mapping[str, object], ...] = ()


@dataclass(frozen=True, slots=True)
class Modes:
    """What holds for every limit. `near` is the share of a limit from which its hits count as near it."""

    near: Fraction = NEAR
    shadow: bool = False
    quota: bool = False


class RateLimiter:
    """`domains` gives the files that are in force, None before there are any."""

    def __init__(
        self, domains: Callable[[], Domains | None], counters: WindowCounters, meter: LimitMeter, modes: Modes
    ) -> None:
        self._domains = domains
        self._counters = counters
        self._meter = meter
        self._modes = modes

    async def answer(self, call: LimitCall) -> Answered:
        """Raises InvalidCall or StoreUnavailable: no judgement was reached."""
        judged = _without_replaced(self._found(call))
        counted = await self._counted(call, judged)
        statuses = tuple(self._statuses(call, judged, counted))
        return self._whole(judged, statuses)

    def _found(self, call: LimitCall) -> list[Found | None]:
        if not call.domain:
            raise InvalidCall("rate limit domain must not be empty")
        if not call.descriptors:
            raise InvalidCall("rate limit descriptor list must not be empty")
        if len(call.descriptors) > MOST_DESCRIPTORS:
            raise InvalidCall(f"rate limit descriptor list must not be longer than {MOST_DESCRIPTORS}")
        domains = self._domains()
        if domains is None:
            raise InvalidCall("no rate limit configuration loaded")
        root = domains.get(call.domain)
        if root is None:
            for _ in call.descriptors:
                self._meter.domain_not_found(call.domain)
            return [None] * len(call.descriptors)
        return [meets(root, call.domain, descriptor) for descriptor in call.descriptors]

    async def _counted(self, call: LimitCall, judged: Sequence[Found | None]) -> Counted:
        additions = tuple(
            Addition((call.domain, *found.subject), found.limit.unit, _hits(call, descriptor))
            for descriptor, found in zip(call.descriptors, judged, strict=True)
            if found is not None and found.limit.unit is not None
        )
        return await self._counters.add(additions) if additions else Counted(0, ())

    def _statuses(self, call: LimitCall, judged: Sequence[Found | None], counted: Counted) -> Iterator[Status]:
        before = iter(counted.before)
        for descriptor, found in zip(call.descriptors, judged, strict=True):
            if found is None:
                yield NO_LIMIT
            elif found.limit.unit is None:
                yield UNLIMITED
            else:
                yield self._status(call, descriptor, found, next(before), found.limit.unit.left(counted.now))

    def _status(self, call: LimitCall, descriptor: Descriptor, found: Found, before: int, reset: int) -> Status:
        limit, hits = found.limit, _hits(call, descriptor)
        after = max(0, before + hits)
        if hits >= 0:
            self._meter.hits(
                call.domain, found.told, tally(limit.count, before, hits, self._modes.near, shadow=limit.shadow)
            )
        over = after > limit.count
        return Status(over and not limit.shadow, limit, 0 if over else limit.count - after, reset)

    def _whole(self, judged: Sequence[Found | None], statuses: tuple[Status, ...]) -> Answered:
        """Over where one is that is no quota, or where all quotas are. With the mode on, what has no limit is a quota
        that is not over."""
        pairs = [(status, one) for status, one in zip(statuses, judged, strict=True) if status is not UNLIMITED]
        quotas = [status for status, one in pairs if self._is_quota(one)]
        refusing = [status for status, one in pairs if status.over and not self._is_quota(one)]
        over = bool(refusing) or (bool(quotas) and all(status.over for status in quotas))
        if over and self._modes.shadow:
            self._meter.shadowed()
        passed = tuple(
            one.limit.metadata for status, one in pairs if one and not status.over and one.limit.metadata is not None
        )
        return Answered(over and not self._modes.shadow, statuses, _tightest(statuses, refusing), passed)

    def _is_quota(self, one: Found | None) -> bool:
        return self._modes.quota or (one is not None and one.limit.quota)


def meets(root: Node, domain: str, descriptor: Descriptor) -> Found | None:
    """A limit that the call brings along counts whom the file's own would: another rate, the same counter."""
    if descriptor.override is None:
        return find(root, domain, descriptor.entries)
    requests, unit = descriptor.override
    if unit is None:
        raise InvalidCall("a limit override without a unit")
    path = spelled(domain, descriptor.entries)
    subject = tuple(part for entry in descriptor.entries for part in entry)
    return Found(DescriptorLimit(requests, unit, path), subject, path)


def _without_replaced(found: Sequence[Found | None]) -> list[Found | None]:
    """Whoever is replaced by another limit of the same call is neither judged nor charged; `unlimited` stays so."""
    replaced = {name for one in found if one is not None for name in one.limit.replaces}
    return [one if one is None or one.limit.unit is None or one.limit.name not in replaced else None for one in found]


def _hits(call: LimitCall, descriptor: Descriptor) -> int:
    """The descriptor's own number, where 0 only looks; else the call's, where 0 means 1 (rls.proto)."""
    hits = (call.hits or 1) if descriptor.hits is None else descriptor.hits
    return -hits if descriptor.gives_back else hits


def _tightest(statuses: Sequence[Status], refusing: Sequence[Status]) -> Status | None:
    """The last that refuses, else the first of those with the least left."""
    if refusing:
        return refusing[-1]
    limited = [status for status in statuses if status.limit is not None]
    return min(limited, key=lambda status: status.remaining) if limited else None

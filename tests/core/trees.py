"""Files of envoyproxy/ratelimit as short texts, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from extproc.config.ratelimit_document import read_document
from extproc.config.ratelimit_tree import build_domains
from extproc.core.descriptors import Node
from extproc.core.errors import StoreUnavailable
from extproc.core.rate_limiter import Answered, Descriptor, Domains, LimitCall, Modes, Override, RateLimiter
from extproc.core.tally import Tally
from extproc.core.windows import Addition, Counted, Unit
from extproc.stores.window_memory import MemoryWindows
from extproc.testing import FakeClock

Entries = tuple[tuple[str, str], ...]


def domains(*texts: str, merge: bool = False) -> Mapping[str, Node]:
    """The texts as files `1.yaml`, `2.yaml`, …"""
    return build_domains([read_document(f"{n}.yaml", text.encode()) for n, text in enumerate(texts, 1)], merge=merge)


def descriptor(
    *entries: tuple[str, str],
    hits: int | None = None,
    gives_back: bool = False,
    limit: tuple[int, Unit | None] | None = None,
) -> Descriptor:
    return Descriptor(entries, hits, gives_back, Override(*limit) if limit else None)


@dataclass(slots=True)
class Meter:
    """Adds up what it hears."""

    told: dict[str, Tally] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    shadows: int = 0

    def hits(self, domain: str, descriptor: str, tally: Tally) -> None:
        known = self.told.get(descriptor, Tally(0))
        self.told[descriptor] = Tally(*(before + now for before, now in zip(known, tally, strict=True)))

    def domain_not_found(self, domain: str) -> None:
        self.unknown.append(domain)

    def shadowed(self) -> None:
        self.shadows += 1


@dataclass(slots=True)
class NoWindows:
    """A store whose server does not answer; or one that nobody may ask."""

    asked: list[tuple[Addition, ...]] = field(default_factory=list)

    async def add(self, additions: tuple[Addition, ...]) -> Counted:
        self.asked.append(additions)
        raise StoreUnavailable("the counters did not answer in time")


@dataclass(slots=True)
class Limiter:
    """The rules over the memory store, on a clock that stands still unless it is moved."""

    domains: Domains | None
    modes: Modes = field(default_factory=Modes)
    clock: FakeClock = field(default_factory=FakeClock)
    meter: Meter = field(default_factory=Meter)
    store: MemoryWindows = field(init=False)
    rules: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.store = MemoryWindows(self.clock)
        self.rules = RateLimiter(lambda: self.domains, self.store, self.meter, self.modes)

    async def ask(self, domain: str, *descriptors: Descriptor, hits: int = 0) -> Answered:
        return await self.rules.answer(LimitCall(domain, descriptors, hits))


def limiter(*texts: str, near: str = "0.8", shadow: bool = False, quota: bool = False) -> Limiter:
    return Limiter(domains(*texts), Modes(Fraction(near), shadow=shadow, quota=quota))


def told(answered: Answered) -> list[tuple[bool, int]]:
    """Whether each descriptor is over, and what it has left."""
    return [(status.over, status.remaining) for status in answered.statuses]


def codes(answers: Sequence[Answered]) -> list[bool]:
    return [answered.over for answered in answers]

"""Limits and counters, and the arithmetic that judges them.

A *limit* is what the operator wrote; a *counter* is a limit with its descriptor filled in: the thing that has a value.
The arithmetic is GCRA (ITU-T I.371's virtual scheduling) in whole nanoseconds: one number a counter, exact, and at most
burst + rate x t admitted in any window of length t.

What is made anew for every request is a NamedTuple: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from extproc.core.addresses import parse_address

NANOSECONDS = 1_000_000_000
IPV6_SITE_PREFIX = 64  # one customer's IPv6 network: a limit per /128 is no limit


class Per(Enum):
    """Whom a limit counts apart."""

    CONSUMER = "consumer"
    ADDRESS = "address"
    ROUTE = "route"


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` per `period` seconds, `burst` of them at once. `scope` tells limits of one name apart.

    A tier's limit has the scope `tier/NAME` and so spans every route; a route's own has `route/NAME`.

    What follows from these is worked out once. `interval` are the nanoseconds between two requests at the limit's rate,
    rounded up: never more than the operator wrote. `window` are the whole seconds in which an empty burst fills again:
    the `w` of a RateLimit-Policy; of the rate as it is written, for the nanoseconds that `interval` rounds up must not
    make 3/s a window of 2 s. `quota` is what that window admits at most at a steady rate: its `q`.
    """

    name: str
    scope: str
    per: Per
    count: int
    period: int
    burst: int
    interval: int = field(init=False, repr=False, compare=False)
    window: int = field(init=False, repr=False, compare=False)
    quota: int = field(init=False, repr=False, compare=False)
    policy: str = field(init=False, repr=False, compare=False)  # its member of a RateLimit-Policy
    key: tuple[str, str, str] = field(init=False, repr=False, compare=False)  # how its counters' keys begin

    def __post_init__(self) -> None:
        window = max(1, -(-self.burst * self.period // self.count))
        object.__setattr__(self, "interval", -(-self.period * NANOSECONDS // self.count))
        object.__setattr__(self, "window", window)
        object.__setattr__(self, "quota", max(self.burst, window * self.count // self.period))
        object.__setattr__(self, "policy", f'"{self.name}";q={self.quota};w={window}')
        object.__setattr__(self, "key", (self.scope, self.name, self.per.value))


class Counter(NamedTuple):
    """A limit and the parts that identify whom it counts. Equality is by parts, so no separator can be forged."""

    limit: Limit
    subject: tuple[str, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """Who is counted, whatever the rate: an edited rate keeps the counter."""
        return self.limit.key + self.subject


class CounterState(NamedTuple):
    """One counter after a judgement. Times are in nanoseconds from now."""

    counter: Counter
    allowed: bool
    remaining: int
    reset: int
    retry_after: int

    @property
    def retry_after_seconds(self) -> int:
        return max(1, -(-self.retry_after // NANOSECONDS))

    @property
    def reset_seconds(self) -> int:
        return max(0, -(-self.reset // NANOSECONDS))


@dataclass(frozen=True, slots=True)
class Hit:
    """How much one counter is asked for. 0 judges whether one more would pass, and charges nothing."""

    counter: Counter
    count: int = 1


class Charge(NamedTuple):
    """All counters that one call judges, together: when one refuses, none is charged.

    `key` makes the charge idempotent (a gRPC retry brings the same one); None is never idempotent.
    """

    hits: tuple[Hit, ...]
    key: str | None = None


def judge(hit: Hit, due: int, now: int) -> tuple[CounterState, int]:
    """Judge a hit on a counter whose theoretical arrival time is `due`, at `now` (both in nanoseconds).

    Returns the state and the new `due`, which the caller stores only if every counter of the charge allows.
    """
    limit = hit.counter.limit
    interval = limit.interval
    start = max(now, due)  # as max() would say, at a third of its cost
    horizon = now + limit.burst * interval
    asked = start + max(hit.count, 1) * interval
    allowed = asked <= horizon
    after = start + hit.count * interval if allowed else start
    remaining = max(0, (horizon - after) // interval)
    retry_after = 0 if allowed else asked - horizon
    return CounterState(hit.counter, allowed, remaining, after - now, retry_after), after


def address_subject(address: str) -> str:
    """The network that an address limit counts, spelled as Envoy's masked_remote_address does: `192.0.2.7/32`.

    Raises:
        ValueError: the text is not an IP address.
    """
    parsed = parse_address(address)
    prefix = IPV6_SITE_PREFIX if parsed.version == 6 else parsed.max_prefixlen  # noqa: PLR2004 - the protocol's own name
    return str(ipaddress.ip_network((parsed, prefix), strict=False))

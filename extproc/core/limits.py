"""Limits and counters: what an operator wrote, whom it counts, and what one call asks of it.

A *limit* is what the operator wrote; a *counter* is a limit with its descriptor filled in: the thing that has a value.
How each kind is judged is told in `judging.py`.

What is made anew for every request is a NamedTuple: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

from extproc.core.addresses import parse_address
from extproc.core.calendar import Calendar

NANOSECONDS = 1_000_000_000
IPV6_SITE_PREFIX = 64  # one customer's IPv6 network: a limit per /128 is no limit
SLICES: Final = 32  # of a sliding window: what was admitted comes back a slice, a 32nd, late at most
LONGEST_KEY: Final = 200  # characters; a caller may send ten thousand, and there may be a million counters
UNKNOWN: Final = -1  # what remains of a counter that nobody could ask


class Per(Enum):
    """Whom a limit counts apart."""

    CONSUMER = "consumer"
    ADDRESS = "address"
    ROUTE = "route"
    TIER = "tier"
    HEADER = "header"
    CLAIM = "claim"
    KEY = "key"


class Kind(Enum):
    """What is counted, and in which time."""

    RATE = "rate"
    QUOTA = "quota"
    SLIDING = "sliding"
    CONCURRENCY = "concurrency"
    BUDGET = "budget"


class OnError(Enum):
    """What becomes of a request when a limit's counter cannot be asked."""

    DENY = "deny"
    ALLOW = "allow"
    LOCAL = "local"


CALENDAR_KINDS: Final = (Kind.QUOTA, Kind.BUDGET)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` per `period` seconds, `burst` of them at once. `scope` tells limits of one name apart.

    A tier's limit has the scope `tier/NAME` and so spans every route; a route's own has `route/NAME`.

    `calendar` are the windows of a quota and of a budget. The `period` of concurrency is how long a slot is held at
    most when nobody gives it back. `unit` is what is counted, where that is not requests. A `shadow` never refuses.
    `of` is the header, the claim or the expression that it counts `per`; `cost` the expression for what one request
    takes; `settle` the header of an answer that says what it was.

    What follows from these is worked out once. `interval` are the nanoseconds between two requests at the limit's rate,
    rounded up: never more than the operator wrote; of a sliding window, the length of a slice, rounded up as well.
    `window` are the whole seconds in which an empty burst fills again: the `w` of a RateLimit-Policy; of the rate as it
    is written, for the nanoseconds that `interval` rounds up must not make 3/s a window of 2 s. `quota` is what that
    window admits at most at a steady rate: its `q`.
    """

    name: str
    scope: str
    per: Per
    count: int
    period: int
    burst: int
    kind: Kind = Kind.RATE
    calendar: Calendar | None = None
    unit: str = ""
    shadow: bool = False
    on_error: OnError = OnError.DENY
    of: str = ""
    cost: str = ""
    settle: str = ""
    interval: int = field(init=False, repr=False, compare=False)
    window: int = field(init=False, repr=False, compare=False)
    quota: int = field(init=False, repr=False, compare=False)
    policy: str = field(init=False, repr=False, compare=False)  # its member of a RateLimit-Policy
    key: str = field(init=False, repr=False, compare=False)  # how its counters' keys begin

    def __post_init__(self) -> None:
        window = max(1, -(-self.burst * self.period // self.count)) if self.kind is Kind.RATE else self.period
        parts = SLICES if self.kind is Kind.SLIDING else self.count
        object.__setattr__(self, "interval", -(-self.period * NANOSECONDS // parts))
        object.__setattr__(self, "window", window)
        quota = max(self.burst, window * self.count // self.period) if self.kind is Kind.RATE else self.count
        object.__setattr__(self, "quota", quota)
        object.__setattr__(self, "policy", f'"{self.name}";{_policy(self)}')
        object.__setattr__(self, "key", spell_key((self.scope, self.name, self.per.value, self.kind.value)))


def _policy(limit: Limit) -> str:
    """Its parameters: a month has no one length, and slots none at all."""
    quota = f"q={limit.quota}"
    if limit.kind is Kind.CONCURRENCY:
        return f'{quota};qu="concurrent-requests"'
    unit = f';qu="{limit.unit}"' if limit.unit else ""
    fixed = limit.calendar is None or limit.calendar.is_even
    return f"{quota}{unit}" + (f";w={limit.window}" if fixed else "")


class Counter(NamedTuple):
    """A limit and the parts that identify whom it counts. Equality is by parts, so no separator can be forged."""

    limit: Limit
    subject: tuple[str, ...]

    @property
    def key(self) -> str:
        """Who is counted, whatever the rate: an edited rate keeps the counter."""
        if len(self.subject) == 1:  # as most are
            key = f"{self.limit.key}{len(self.subject[0])}:{self.subject[0]}"
        else:
            key = self.limit.key + spell_key(self.subject)
        return key if len(key) <= LONGEST_KEY else _digest(key)


class CounterState(NamedTuple):
    """One counter after a judgement. Times are in nanoseconds from now. `remaining` may be UNKNOWN."""

    counter: Counter
    allowed: bool
    remaining: int
    reset: int
    retry_after: int

    @property
    def refuses(self) -> bool:
        return not self.allowed and not self.counter.limit.shadow

    @property
    def retry_after_seconds(self) -> int:
        return max(1, -(-self.retry_after // NANOSECONDS))

    @property
    def reset_seconds(self) -> int:
        return max(0, -(-self.reset // NANOSECONDS))


@dataclass(slots=True)  # one for each counter of a call, and a frozen one takes twice as long to make
class Hit:
    """How much one counter is asked for. 0 judges whether one more would pass, and charges nothing."""

    counter: Counter
    count: int = 1


class Judged(NamedTuple):
    """When a charge was judged, by both clocks of the sidecar: the one that never steps back, and the one on the wall.
    It is written down, so that a simulation can judge at the same moment."""

    monotonic: int
    time: float


class Charge(NamedTuple):
    """All counters that one call judges, together: when one refuses, none is charged.

    `key` makes the charge idempotent (a gRPC retry brings the same one); None is never idempotent. It is also the name
    of what the call holds from then on: its slot of a concurrency, its reservation of a budget; unless `holder` names
    who holds some already, and gets more. `at` is now, where whoever charges has looked at the clock already; a store
    with a clock of its own does not read it.
    """

    hits: tuple[Hit, ...]
    key: str | None = None
    at: Judged | None = None
    holder: str | None = None

    @property
    def held_by(self) -> str | None:
        return self.key if self.holder is None else self.holder


class Settlement(NamedTuple):
    """What became of something held: of a slot, that it is free again; of a reservation, that it was `amount` in fact,
    more or less than was reserved, or 0. `held` is the key of the charge. Only the first one counts.

    Of a reservation that whoever meters the answer is yet to settle, `amount` is what was reserved and `until` when its
    window ends, in seconds of the epoch; of every other, `until` is 0."""

    counter: Counter
    held: str
    amount: int = 0
    until: int = 0


def spell_key(parts: Sequence[str]) -> str:
    """One text of several, each with its length in front, so that no other parts have the same. A text, because a
    million tuples take a hundred bytes more each."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def _digest(key: str) -> str:
    """Begins as no other key does: those begin with a length. A lone surrogate is a part like any other."""
    return "#" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def holds(limit: Limit) -> bool:
    """Whether something is held after a charge, which is to be settled."""
    return limit.kind is Kind.CONCURRENCY or limit.kind is Kind.BUDGET


def is_budget(limit: Limit) -> bool:
    return limit.kind is Kind.BUDGET


def address_subject(address: str) -> str:
    """The network that an address limit counts, spelled as Envoy's masked_remote_address does: `192.0.2.7/32`.

    Raises:
        ValueError: the text is not an IP address.
    """
    parsed = parse_address(address)
    prefix = IPV6_SITE_PREFIX if parsed.version == 6 else parsed.max_prefixlen  # noqa: PLR2004 - the protocol's own name
    return str(ipaddress.ip_network((parsed, prefix), strict=False))

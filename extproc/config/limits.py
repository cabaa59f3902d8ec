"""The shape of limits in gateway.yaml: what is counted, how, and whom it counts apart."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from extproc.config.agreements import CERTAIN, having, never, rules, some_of, where
from extproc.config.expressions import compile_request_expression
from extproc.config.settings import Duration, HeaderName, LimitRate, Rate, Settings
from extproc.config.spelling import Spelled, text, written
from extproc.core.calendar import SECONDS, Unit

HIGHEST_BURST: Final = 1_000_000_000
HIGHEST_QUOTA: Final = 1_000_000_000_000_000  # of which Redis counts two exactly: Lua's numbers end at 2^53
LONGEST_REFILL: Final = 30 * 86_400  # seconds; what takes longer is a quota, and more than Redis counts exactly
LONGEST_LEASE: Final = timedelta(days=1)
KINDS: Final = ("rate", "quota", "sliding", "concurrency", "tokens")
A_KIND: Final = f"a limit is one of {', '.join(KINDS[:-1])} and {KINDS[-1]}"
SOME_KIND: Final = f"write what is limited: one or more of {', '.join(KINDS[:-1])} and {KINDS[-1]}"
NO_QUOTA: Final = "not a quota: write 100/minute, 1000/hour, 5000/day, 20000/week or 100000/month"
NO_ZONE: Final = "not a time zone: write a name of the IANA's list, as Europe/Berlin"
NO_PER: Final = (
    "write consumer, tier, address, route, header:NAME in lower case, claim:NAME, or cel: with an expression"
)
SLOW_BURST: Final = "a burst that takes longer than 30 days to fill again is a quota: write quota"
LONG_LEASE: Final = "a slot is held for a day at most"
QUOTA: Final = re.compile(r"([0-9]{1,16})/(minute|hour|day|week|month)")
PER: Final = r"tier|consumer|address|route|header:[a-z0-9!#$%&'*+.^_`|~-]{1,128}|claim:[^\s]{1,128}|cel:[\s\S]{1,4096}"
# A key, what it goes with, and what is said where that is missing.
COMPANIONS: Final = (
    ("burst", ("rate",), "a burst is of a rate"),
    ("zone", ("quota", "tokens"), "a time zone is of a quota, or of tokens: a rate has no calendar"),
    ("cost", ("rate", "quota", "sliding"), "a cost is of a rate, a quota or a sliding window; for tokens, reserve"),
    ("lease", ("concurrency",), "a lease is of a concurrency"),
    ("reserve", ("tokens",), "what is reserved are tokens; of other limits, write cost"),
    ("settle", ("tokens",), "what is settled are tokens"),
)  # fmt: skip


def parse_quota(value: Any) -> Rate:
    if isinstance(value, Rate):
        return value
    match = QUOTA.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(NO_QUOTA)
    count = int(match[1])
    if not 1 <= count <= HIGHEST_QUOTA:
        raise ValueError(f"a quota is from 1 to {HIGHEST_QUOTA}; to refuse everybody write authorize: 'false'")
    return Rate(count, SECONDS[Unit(match[2])])


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (OSError, ValueError, KeyError):
        raise ValueError(NO_ZONE) from None
    return value


def _expression(value: str) -> str:
    compile_request_expression(value)
    return value


def _whom(value: str) -> str:
    if value.startswith("cel:"):
        compile_request_expression(value.removeprefix("cel:"))
    return value


def _short_enough(value: timedelta) -> timedelta:
    if value > LONGEST_LEASE or value % timedelta(seconds=1):
        raise ValueError(LONG_LEASE if value > LONGEST_LEASE else "a slot is held for whole seconds")
    return value


Quota = Annotated[
    Rate,
    BeforeValidator(parse_quota),
    written("quota", "(?!0+/)(?:[0-9]{1,15}|1000000000000000)/(?:minute|hour|day|week|month)", NO_QUOTA),
]
Zone = Annotated[str, AfterValidator(_zone), WithJsonSchema(text("time zone"))]
RequestCel = Annotated[str, AfterValidator(_expression), written("CEL expression")]
Burst = Annotated[int, Field(ge=1, le=HIGHEST_BURST)]
Lease = Annotated[Duration, AfterValidator(_short_enough)]
Whom = Annotated[str, Spelled(PER, NO_PER, "whom"), AfterValidator(_whom), WithJsonSchema(text("whom", PER, NO_PER))]
AGREEMENTS: Final = tuple(
    where(having(**{key: CERTAIN}), some_of(companions, said)) for key, companions, said in COMPANIONS
)


class LimitKinds(Settings):
    """What is limited. Several may stand together: all are judged at once, and where one refuses none is counted."""

    rate: LimitRate | None = None
    """How many requests per second, minute, hour or day, at an even pace after a `burst`."""
    burst: Burst | None = None
    """How many of the rate's requests at once. Left out: as many as the rate has."""
    quota: Quota | None = None
    """How many requests in each minute, hour, day, week (from Monday) or month of the calendar."""
    sliding: LimitRate | None = None
    """How many requests in any second, minute, hour or day, whenever that begins."""
    concurrency: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many requests may be open at once."""
    tokens: Quota | None = None
    """How many units in each minute, hour, day, week or month of the calendar: what a request `reserve`s counts until
    it is `settle`d."""
    zone: Zone | None = None
    """The time zone in which days, weeks and months begin, as `Europe/Berlin`. Left out: UTC. Minutes and hours are
    those of UTC."""
    cost: RequestCel | None = None
    """How much of its rate, quota and sliding window a request takes, in [CEL](https://cel.dev): a whole number, 0 for
    nothing. Left out: 1."""
    reserve: RequestCel | None = None
    """How many tokens a request reserves before it is sent on, in CEL. Left out: 1."""
    settle: HeaderName | None = None
    """The header of the answer that says how many tokens it was in fact. Where it says nothing, what was reserved stays
    charged. It is read from Envoy's access log: soon after the answer, and not surely."""
    lease: Lease | None = None
    """How long an open request holds its slot at most. Left out: 5m, and 1h on a route that streams. A slot is given
    back when the request ends; the lease is for those of which nobody hears."""
    shadow: bool = False
    """Whether it only counts, and tells in the decision log what it would have refused."""
    on_error: Literal["deny", "allow", "local"] = "deny"
    """What becomes of a request when its counters cannot be asked. `deny`: 503; `allow`: it is not counted; `local`: it
    is counted in this sidecar alone."""

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for key, companions, said in COMPANIONS:
            if getattr(self, key) is not None and not any(getattr(self, name) is not None for name in companions):
                raise ValueError(said)
        if self.rate and self.burst and self.burst * self.rate.period > LONGEST_REFILL * self.rate.count:
            raise ValueError(SLOW_BURST)
        return self

    @property
    def named(self) -> tuple[str, ...]:
        """The kinds that are written."""
        return tuple(kind for kind in KINDS if getattr(self, kind) is not None)


class Tier(LimitKinds):
    """A class of consumers, with the limits that each of them has over all routes that count `tier`."""

    model_config = ConfigDict(json_schema_extra=rules(some_of(KINDS, SOME_KIND), *AGREEMENTS))

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.named:
            raise ValueError(SOME_KIND)
        return self


class ConsumerLimits(Tier):
    """Limits of one consumer's own, each in place of the same one of its tier."""


class EveryLimit(Settings):
    """What holds for all limits."""

    claim: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The claim that carries limits of the consumer's own, as `{rate: 20/s, quota: 1000/day}`: each wins over the same
    one of its tier, and over `consumers`. What cannot be read is refused with 403. Left out: none does."""
    x_ratelimit_headers: bool = False
    """Whether clients are told `X-RateLimit-Limit`, `-Remaining` and `-Reset` as well, of the limit with least left.
    `RateLimit` and `RateLimit-Policy` they are told anyway."""


class LimitUse(LimitKinds):
    """A limit of the route's own."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            where({"not": having(per={"const": "tier"})}, some_of(KINDS, A_KIND)),
            *(
                never(having(**{one: CERTAIN, other: CERTAIN}), A_KIND)
                for place, one in enumerate(KINDS)
                for other in KINDS[place + 1 :]
            ),
            *AGREEMENTS,
        )
    )

    per: Whom
    """Whom it counts apart. `consumer`: each caller; `address`: each client address (an IPv6 network of 64 bits);
    `route`: nobody, all requests together; `tier`: the callers of each tier together; `header:NAME`, `claim:NAME`:
    each value of it; `cel:EXPRESSION`: each value of a text in CEL. Alone, `per: tier` is a long way of writing
    `tier`."""

    placement: Literal["sidecar", "quota_stream"] = "sidecar"
    """Who judges it. `sidecar`: asked for every request, exact. `quota_stream`: each Envoy by itself, without a call,
    within a share that the sidecar assigns it as `sidecar.quota_stream` says; per `tier`, `consumer` or `route`, one of
    a route. Until a share is assigned, which a bucket's first request asks for, it refuses."""

    @model_validator(mode="before")
    @classmethod
    def _spelled_short(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "tier":
            raise ValueError("write tier, or a limit as {per: consumer, rate: 10/s}")
        return {"per": "tier"} if value == "tier" else value

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if len(self.named) > 1 or (not self.named and self.per != "tier"):
            raise ValueError(A_KIND)
        return self

    @property
    def is_tiers(self) -> bool:
        """Whether it means the limits of the caller's tier."""
        return self.per == "tier" and not self.named

"""What is written about limits -> the limits that are judged. The kinds of one mapping share its settings."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from extproc.config.limits import LimitKinds, LimitUse, Tier
from extproc.config.settings import Rate
from extproc.core.calendar import SECONDS, Calendar
from extproc.core.limits import Kind, Limit, OnError, Per

LEASE: Final = timedelta(minutes=5)
STREAM_LEASE: Final = timedelta(hours=1)
CARRIED: Final = 4096  # limits that claims carry and that are remembered, by what they say
CARRIABLE: Final = frozenset({"rate", "burst", "quota", "sliding", "concurrency", "tokens", "zone"})
UNITS: Final = {seconds: unit for unit, seconds in SECONDS.items()}
TIER: Final = "tier"


def tier_limits(kinds: LimitKinds, scope: str) -> tuple[Limit, ...]:
    """A consumer's, over all routes that count its tier: the rate is called `tier`, the others by their kind too."""
    named = {kind: TIER if kind == "rate" else f"{TIER}-{kind}" for kind in kinds.named}
    return tuple(_limit(kind, kinds, name, scope, Per.CONSUMER, lease=LEASE) for kind, name in named.items())


def own_limit(use: LimitUse, route: str, position: int, *, stream: bool) -> Limit:
    """Of one route; called by whom it counts and where it stands."""
    whom, _, of = use.per.partition(":")
    per = Per.KEY if whom == "cel" else Per(whom)
    (kind,) = use.named
    lease = STREAM_LEASE if stream else LEASE
    return _limit(kind, use, f"{per.value}-{position}", f"route/{route}", per, of, lease=lease)


def _limit(kind: str, kinds: LimitKinds, name: str, scope: str, per: Per, of: str = "", *, lease: timedelta) -> Limit:
    written: Any = getattr(kinds, kind)
    count, period = (written.count, written.period) if isinstance(written, Rate) else (written, 0)
    if kind == "concurrency":
        period = int((kinds.lease or lease).total_seconds())
    return Limit(
        name, scope, per, count, period,
        burst=(kinds.burst or count) if kind == "rate" else count,
        kind=Kind.BUDGET if kind == "tokens" else Kind(kind),
        calendar=_calendar(period, kinds.zone) if kind in ("quota", "tokens") else None,
        unit="tokens" if kind == "tokens" else "",
        shadow=kinds.shadow,
        on_error=OnError(kinds.on_error),
        of=of,
        cost=_cost(kind, kinds),
        settle=(kinds.settle or "") if kind == "tokens" else "",
    )  # fmt: skip


def _cost(kind: str, kinds: LimitKinds) -> str:
    if kind == "concurrency":
        return ""
    return (kinds.reserve if kind == "tokens" else kinds.cost) or ""


def _calendar(period: int, zone: str | None) -> Calendar:
    return Calendar(UNITS[period], ZoneInfo(zone) if zone else UTC)


def is_plain(limit: Limit) -> bool:
    """Whether Envoy's own ratelimit filter can ask about it: a rate, per address or for all, one for each request."""
    return limit.kind is Kind.RATE and limit.per in (Per.ADDRESS, Per.ROUTE) and not limit.cost and not limit.shadow


def carried_limits(scope: str, value: object) -> tuple[Limit, ...]:
    """Those that a claim carries: as a tier's, without what only an operator may say.

    Raises:
        ValueError: it is not the mapping of a tier.
    """
    if not isinstance(value, Mapping) or not CARRIABLE.issuperset(value):
        raise ValueError(f"a mapping of {', '.join(sorted(CARRIABLE))}")
    return _carried(scope, json.dumps(value, sort_keys=True))


@functools.lru_cache(CARRIED)
def _carried(scope: str, text: str) -> tuple[Limit, ...]:
    try:
        return tier_limits(Tier.model_validate(json.loads(text)), scope)
    except ValidationError:
        raise ValueError("not limits as a tier has them") from None

"""Limits that Envoys judge by themselves: which share of which quota, and by what name Envoy's filter finds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from extproc.core.limits import Limit, Per
from extproc.core.quota import Quota

TIER = "tier"


@dataclass(frozen=True, slots=True)
class SharedLimit:
    """What one route has of it. `name` is how a request says to Envoy's filter which one is meant; `quotas` by tier, or
    the route's own under the empty name. `lifetime` of an assignment in seconds."""

    name: str
    quotas: Mapping[str, Quota]
    lifetime: int

    @property
    def by_tier(self) -> bool:
        return "" not in self.quotas

    @property
    def per_consumer(self) -> bool:
        return any(quota.limit.per is Per.CONSUMER for quota in self.quotas.values())

    @property
    def stamp(self) -> str:
        """For the revision: what Envoy and sidecar must both have, and a route does not say."""
        envoys = sorted({quota.envoys for quota in self.quotas.values()})
        return f"rate_limit_quota {self.name} {envoys} {self.lifetime}"


def quota_key(limit: Limit) -> str:
    """How Envoy's buckets name a limit."""
    return f"{limit.scope}/{limit.name}"


def shared_tiers(tiers: Mapping[str, tuple[Limit, ...]], envoys: int, lifetime: int) -> SharedLimit:
    """Every route that counts it shares the same buckets. Each tier has a rate alone, as was checked."""
    return SharedLimit(TIER, {name: Quota(limit, envoys) for name, (limit,) in tiers.items()}, lifetime)


def shared_limit(limit: Limit, envoys: int, lifetime: int) -> SharedLimit:
    return SharedLimit(quota_key(limit), {"": Quota(limit, envoys)}, lifetime)

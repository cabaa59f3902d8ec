"""What the compiler hands to the built-in kinds: the settings that no operator writes in one place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from extproc.core.addresses import Network
from extproc.core.lens import Lens
from extproc.core.limits import Kind, Limit, holds
from extproc.core.versions import ApiVersion

# The kinds that keys of a route use, rather than `policies: [{use: ...}]`.
AUTHORIZE: Final = "authorize"
LIMIT: Final = "limit"
CHOOSE: Final = "choose"
VERSION: Final = "version"
ADAPT: Final = "adapt"
METER: Final = "meter"

HUNDREDTHS: Final = 100  # of a percent in a percent: the unit of weights


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Who may make a request: all that is written must hold, and what is empty was not written.

    Of `scopes` a consumer has all, of `any_scope` and `groups` one; of each of `claims` it has one of the values.
    `when` is CEL.
    """

    addresses: tuple[Network, ...] = ()
    deny_addresses: tuple[Network, ...] = ()
    consumers: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    any_scope: tuple[str, ...] = ()
    claims: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    when: str = ""


@dataclass(frozen=True, slots=True)
class AuthorizeSpec:
    """One rule that must hold, or, with `any_of`, several of which one must."""

    rules: tuple[AccessRule, ...]
    any_of: bool = False


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """`tiers` maps a tier's name to its limits, `consumers` a consumer's id to those that it has in place of them;
    `by_tier` says whether the route wants them judged. `carried` reads the limits that a consumer's `claim` carries, in
    a scope, and raises ValueError where it carries none. `legacy` tells clients what older drafts told them, too.
    `metered`: what is reserved of tokens is settled by whoever meters the route's answers."""

    tiers: Mapping[str, tuple[Limit, ...]]
    by_tier: bool
    own: tuple[Limit, ...]
    consumers: Mapping[str, tuple[Limit, ...]] = field(default_factory=dict)
    claim: str = ""
    legacy: bool = False
    carried: Callable[[str, object], tuple[Limit, ...]] | None = field(default=None, repr=False, compare=False)
    metered: bool = False

    @property
    def every(self) -> tuple[Limit, ...]:
        """All that are written."""
        return (*self.own, *(limit for some in (*self.tiers.values(), *self.consumers.values()) for limit in some))

    @property
    def budgets(self) -> bool:
        """Whether tokens are counted."""
        return bool(self.by_tier and self.claim) or any(limit.kind is Kind.BUDGET for limit in self.every)

    @property
    def holds(self) -> bool:
        """Whether a request may hold something until it ends."""
        return bool(self.claim) or any(map(holds, self.every))


@dataclass(frozen=True, slots=True)
class Version:
    """`weight` in hundredths of a percent."""

    name: str
    upstream: str
    weight: int


@dataclass(frozen=True, slots=True)
class ChooseSpec:
    """A model's versions and what a caller's choice sticks to: `consumer`, `header:NAME` or `none`."""

    model: str
    versions: tuple[Version, ...]
    sticky: str

    @property
    def upstreams(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(version.upstream for version in self.versions))


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """The version of the API that a route serves, and where its successor's resource is."""

    version: ApiVersion
    successor_at: str = ""


@dataclass(frozen=True, slots=True)
class AdaptSpec:
    """`request` and `response` lead from the version of the route to the one that the upstream speaks; answers are
    taken the way back. `stream`: as they pass."""

    served: str
    spoken: str
    request: Lens
    response: Lens
    stream: bool = False

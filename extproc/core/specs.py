"""What the compiler hands to the built-in kinds: the settings that no operator writes in one place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from extproc.core.addresses import Network
from extproc.core.lens import Lens
from extproc.core.limits import Kind, Limit, holds
from extproc.core.models import Cohort, Fallback, NamedBy, Pin, Shadow
from extproc.core.versions import ApiVersion

# The kinds that keys of a route use, rather than `policies: [{use: ...}]`.
AUTHORIZE: Final = "authorize"
LIMIT: Final = "limit"
CHOOSE: Final = "choose"
VERSION: Final = "version"
ADAPT: Final = "adapt"
AGGREGATE: Final = "aggregate"
METER: Final = "meter"

HUNDREDTHS: Final = 100  # of a percent in a percent: the unit of weights


def is_in_hundredths(percent: float) -> bool:
    """Whether it is a share that a weight can be. A float's own error is none: 0.29 * 100 is below 29."""
    return math.isclose(round(percent * HUNDREDTHS), percent * HUNDREDTHS, abs_tol=1e-6)


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
    """`weight` in hundredths of a percent. `tiers` are those whose consumers may have it; none written, everybody."""

    name: str
    upstream: str
    weight: int
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChooseSpec:
    """A model's versions and what a caller's choice sticks to: `consumer`, `header:NAME`, `cookie:NAME` or `none`.

    Models of one `salt` draw alike. `tiers` are those whose consumers may ask for the model.
    """

    model: str
    versions: tuple[Version, ...]
    sticky: str
    salt: str = ""
    pin: Pin | None = None
    rules: tuple[Cohort, ...] = ()
    aliases: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    shadow: Shadow | None = None
    fallback: Fallback | None = None

    @property
    def upstreams(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(version.upstream for version in self.versions))

    def version(self, name: str) -> Version:
        """Raises KeyError."""
        return {version.name: version for version in self.versions}[name]


@dataclass(frozen=True, slots=True)
class ModelsSpec:
    """The models that a route may lead to. Where a request names one, `of` is the header or the path's template, and
    `otherwise` the model of who names none."""

    models: tuple[ChooseSpec, ...]
    named_by: NamedBy = NamedBy.ROUTE
    of: str = ""
    otherwise: str = ""


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


@dataclass(frozen=True, slots=True)
class PartSpec:
    """One part of an aggregate. `path`, with its query, is a template; `headers`, `body` and `when` are CEL. `timeout`
    is in seconds, for all tries. `accepts` are statuses that are answers besides 2xx; `default` is JSON for what is
    not there, None where there is none; `limit` in bytes."""

    name: str
    upstream: str
    path: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    when: str = ""
    timeout: float = 15.0
    retries: int = 0
    optional: bool = False
    default: str | None = None
    accepts: frozenset[int] = frozenset()
    limit: int = 1024 * 1024

    @property
    def expressions(self) -> tuple[str, ...]:
        """But for those of the path."""
        return tuple(filter(None, (self.when, self.body, *self.headers.values())))


class Lines(Enum):
    """When an answer is sent in lines, each part as it comes (application/x-ndjson)."""

    ON_REQUEST = "on_request"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class AggregateSpec:
    """What a route's answer is put together from. `body` is CEL over the parts, empty where they are merged by their
    names; `marker` is the member that says what is missing. `deadline` in seconds, for all of it; `limit` in bytes.
    `reads_body`: some expression wants the request's. `forwarded` are headers with the client's credential, where
    upstreams get it. `said` are headers of a route's answers, which Envoy adds to whole ones alone."""

    route: str
    parts: tuple[PartSpec, ...]
    body: str = ""
    marker: str = ""
    lines: Lines = Lines.ON_REQUEST
    deadline: float = 15.0
    limit: int = 1024 * 1024
    reads_body: bool = False
    forwarded: tuple[str, ...] = ()
    said: tuple[tuple[str, str], ...] = ()

    @property
    def upstreams(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.upstream for part in self.parts))

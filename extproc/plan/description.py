"""What a plan says, for its reader: plain data whose names `extproc plan --output json` promises (docs/commands.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FilterDescription:
    """An HTTP filter of Envoy that does something for a request, and why it stands where it stands."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """`rule` is exact, prefix, present or media_type."""

    name: str
    rule: str
    value: str


@dataclass(frozen=True, slots=True)
class MatchDescription:
    """`text` says it all in a line. No hosts or no methods mean any; one of the paths is empty."""

    text: str
    hosts: tuple[str, ...]
    path: str
    path_prefix: str
    methods: tuple[str, ...]
    headers: tuple[FieldDescription, ...]
    query: tuple[FieldDescription, ...]


@dataclass(frozen=True, slots=True)
class VersionDescription:
    """`weight` in percent. `allow` are the tiers that may have it; none, and everybody may."""

    name: str
    upstream: str
    weight: float
    allow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """`text` says it all in a line. `pinned_by` is the header of a pin, `shadow` the version that gets copies, and
    `fallback` those that stand in; what there is none of is empty."""

    name: str
    text: str
    sticky: str
    versions: tuple[VersionDescription, ...]
    aliases: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    pinned_by: str = ""
    shadow: str = ""
    fallback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PartDescription:
    """One call of an aggregate. `after` are the parts whose answers it waits for."""

    name: str
    upstream: str
    method: str
    path: str
    timeout_seconds: float
    retries: int
    optional: bool
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TargetDescription:
    """Where a route leads. `kind` is upstream, model, redirect, aggregate or feedback; what belongs to another kind is
    empty. Where requests name a model, `named_by` says how, and `models` has those that they may name; `model`,
    `sticky` and `versions` are of the one model of all other routes."""

    text: str
    kind: str
    upstream: str = ""
    model: str = ""
    sticky: str = ""
    versions: tuple[VersionDescription, ...] = ()
    to: str = ""
    status: int = 0
    parts: tuple[PartDescription, ...] = ()
    named_by: str = ""
    default: str = ""
    models: tuple[ModelDescription, ...] = ()


@dataclass(frozen=True, slots=True)
class PolicyDescription:
    """A policy that judges. `phase` is what it sees (core.policy.Phase); `service` is which of the
    sidecar's asks it; `brief` is its rule as far as a table has room for it."""

    policy: str
    rule: str
    brief: str
    phase: str
    service: str
    at: str


@dataclass(frozen=True, slots=True)
class MethodDescription:
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class ApiVersionDescription:
    """The version of the API that a route serves. `text` says it all in a line; `spoken` is the version that the
    upstream gets, where bodies are adapted. What there is none of is empty."""

    name: str
    status: str
    text: str
    deprecated: str = ""
    sunset: str = ""
    successor: str = ""
    successor_at: str = ""
    spoken: str = ""


@dataclass(frozen=True, slots=True)
class RequestBody:
    """Envoy holds a body until it is complete, up to the limit. `mode` is held, or shown where the sidecar sees it."""

    mode: str
    limit_bytes: int


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """`services` are the sidecar's that a request asks, `calls` how many. `response_body` is none, buffered or
    full_duplex: whether the sidecar sees it, and how. `timeout_seconds` is None where there is none: a stream, which
    has `idle_timeout_seconds`."""

    name: str
    match: MatchDescription
    target: TargetDescription
    calls: int
    services: tuple[str, ...]
    filters: tuple[FilterDescription, ...]
    authentication: tuple[MethodDescription, ...]
    policies: tuple[PolicyDescription, ...]
    request_body: RequestBody
    response_body: str
    timeout_seconds: float | None
    idle_timeout_seconds: float | None
    api_version: ApiVersionDescription | None = None


@dataclass(frozen=True, slots=True)
class ListenerDescription:
    """`client_certificates` is none, asked (one that is there must be good) or required."""

    name: str
    address: str
    trusted_hops: int
    proxy_protocol: bool
    tls: bool
    client_certificates: str


@dataclass(frozen=True, slots=True)
class TierDescription:
    name: str
    rule: str


@dataclass(frozen=True, slots=True)
class Totals:
    """`routes_by_calls` has how many routes make 0, 1, 2 and 3 calls."""

    routes: int
    routes_by_calls: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RolloutDescription:
    """What moves a model's callers by itself: `rule` says it all in a line, `steps` in percent. `kept`: a file, or
    Redis."""

    model: str
    candidate: str
    steps: tuple[float, ...]
    rule: str
    kept: str


@dataclass(frozen=True, slots=True)
class PlanDescription:
    """`usage` says for how many days and hours what consumers used is kept; empty where it is not."""

    revision: str
    listeners: tuple[ListenerDescription, ...]
    tiers: tuple[TierDescription, ...]
    routes: tuple[RouteDescription, ...]
    totals: Totals
    usage: str
    rollouts: tuple[RolloutDescription, ...] = ()

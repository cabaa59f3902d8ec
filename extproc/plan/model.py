"""The Plan's own shapes. Durations are in seconds, sizes in bytes; nothing here knows YAML, pydantic or Envoy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from extproc.core.handover import UpstreamCredential
from extproc.core.limits import Limit
from extproc.core.metering import Meter
from extproc.core.names import CLUSTER_HEADER, MODEL_VERSION, SHADOW_HEADER
from extproc.core.policy import Phase
from extproc.core.problems import Path
from extproc.core.processing import DEFAULT_RESPONSE_LIMIT, UNPROCESSED, BodyMode, Processing
from extproc.core.quota import Quota
from extproc.core.rollout import Rules
from extproc.core.specs import AggregateSpec, ChooseSpec, LimitSpec, ModelsSpec, VersionSpec
from extproc.plan.shared import SharedLimit, quota_key
from extproc.plan.tls import ListenerTlsPlan, UpstreamTlsPlan

DEFAULT_TIMEOUT: Final = 15.0  # Envoy's own (route_components.proto: RouteAction.timeout), written out
DEFAULT_BODY_LIMIT: Final = 1024 * 1024


class ValueRule(Enum):
    EXACT = "exact"
    PREFIX = "prefix"
    PRESENT = "present"
    MEDIA_TYPE = "media_type"


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """A header or query parameter that must be there, and how its value is compared."""

    name: str
    rule: ValueRule
    value: str = ""


@dataclass(frozen=True, slots=True)
class MatchPlan:
    """`hosts` empty means any. Exactly one of `path` and `path_prefix` is set."""

    hosts: tuple[str, ...] = ()
    path: str | None = None
    path_prefix: str | None = None
    methods: tuple[str, ...] = ()
    headers: tuple[FieldMatch, ...] = ()
    query: tuple[FieldMatch, ...] = ()


@dataclass(frozen=True, slots=True)
class ToUpstream:
    upstream: str


@dataclass(frozen=True, slots=True)
class ToModel:
    """The upstream is chosen per request: Envoy reads it from the internal cluster header. `spec` has the models that
    may serve it."""

    spec: ModelsSpec

    @property
    def models(self) -> tuple[ChooseSpec, ...]:
        return self.spec.models

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Of all their versions, each once."""
        return tuple(dict.fromkeys(name for model in self.models for name in model.upstreams))


def ours_of(target: ToModel) -> tuple[str, ...]:
    """The request headers about versions: they are for the gateway, and no upstream gets them."""
    pins = [model.pin.header for model in target.models if model.pin is not None]
    return tuple(dict.fromkeys((CLUSTER_HEADER, SHADOW_HEADER, MODEL_VERSION, *pins)))


@dataclass(frozen=True, slots=True)
class ToRedirect:
    to: str
    status: int


@dataclass(frozen=True, slots=True)
class ToAggregate:
    """To no upstream of its own: the sidecar puts the answer together, from calls by way of the egress listener."""

    spec: AggregateSpec


@dataclass(frozen=True, slots=True)
class Placement:
    """What a request on this route costs: where each capability runs. The filters that are not named are passed by.

    `fused` is the one ext_authz call, `asks_with_body` whether it shows the request's body.
    `descriptors` are the limits that Envoy's ratelimit filter asks our RLS about;
    `shared` is the limit that its rate_limit_quota filter judges without asking.
    `shown` is what an ext_proc stream shows of the exchange; nothing, and there is none.
    """

    fused: bool
    asks_with_body: bool = False
    descriptors: tuple[Limit, ...] = ()
    shared: SharedLimit | None = None
    shown: Processing = UNPROCESSED

    @property
    def edits(self) -> bool:
        """Whether an ext_proc stream is opened."""
        return bool(self.shown)

    @property
    def edits_body(self) -> bool:
        """Whether the answer's body is shown, whole or in pieces."""
        return self.shown.response.body is not BodyMode.NONE

    @property
    def services(self) -> tuple[str, ...]:
        """The sidecar's services that a request asks, each by the filter of its name."""
        asked = (("ext_authz", self.fused), ("ratelimit", bool(self.descriptors)), ("ext_proc", self.edits))
        return tuple(name for name, needed in asked if needed)

    @property
    def filters(self) -> tuple[str, ...]:
        """The filters that call the sidecar, and what the last of them shows it."""
        shown = _bodies(self.shown)
        bodies = {"ext_proc": shown, "ext_authz": " with bodies" if self.asks_with_body else ""}
        return tuple(f"{name}{bodies.get(name, '')}" for name in self.services)

    @property
    def calls(self) -> int:
        return len(self.services)


def _bodies(shown: Processing) -> str:
    """` with bodies` of answers, as most are; what else a stream shows is said apart."""
    request = {BodyMode.NONE: " with requests"}.get(shown.request.body, " with requests' bodies")
    response = {BodyMode.NONE: "", BodyMode.BUFFERED: " with bodies"}.get(shown.response.body, " with streams")
    return (request if shown.request.headers else "") + response


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """One policy of a route before it is built: the name of its kind, that kind's validated settings, what it needs to
    see, and where the file says so."""

    kind: str
    settings: object = field(repr=False)
    phases: frozenset[Phase] = frozenset({Phase.REQUEST})
    at: Path = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """What an upstream gets of who is asking: a token that it can verify, the client's own credential."""

    signed: bool = False
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class RoutePlan:
    name: str
    match: MatchPlan
    target: ToUpstream | ToModel | ToRedirect | ToAggregate
    authentication: tuple[str, ...]
    policies: tuple[PolicySpec, ...]
    placement: Placement
    timeout: float
    body_limit: int
    stream: bool = False
    forward: Forward = Forward()
    version: VersionSpec | None = None
    response_limit: int = DEFAULT_RESPONSE_LIMIT


@dataclass(frozen=True, slots=True)
class AuthenticationPlan:
    """One named method: its kind and that kind's validated settings."""

    name: str
    kind: str
    settings: object = field(repr=False)


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Discovery(Enum):
    """How an upstream's endpoints become addresses."""

    STATIC = "static"
    STRICT_DNS = "strict"
    LOGICAL_DNS = "logical"


@dataclass(frozen=True, slots=True)
class UpstreamPlan:
    name: str
    endpoints: tuple[Endpoint, ...]
    discovery: Discovery
    balance: str
    connect_timeout: float
    timeout: float | None = None
    retries: int = 0
    health_check: str | None = None
    outlier_detection: bool = False
    credential: UpstreamCredential | None = None
    tls: UpstreamTlsPlan | None = None


@dataclass(frozen=True, slots=True)
class ListenerPlan:
    name: str
    address: Endpoint
    hops: int = 0
    proxy_protocol: bool = False
    tls: ListenerTlsPlan | None = None


@dataclass(frozen=True, slots=True)
class SigningPlan:
    """`keys` are names of files, of which the first signs; `lifetime` in whole seconds."""

    keys: tuple[str, ...]
    issuer: str
    lifetime: int


@dataclass(frozen=True, slots=True)
class SidecarPlan:
    """`timeout` is how long Envoy waits for one decision."""

    folder: str
    timeout: float
    admin: Endpoint
    keys: str | None = field(default=None, repr=False)  # a file's absolute name, or the URL of a Redis
    workers: int = 1
    signing: SigningPlan | None = None
    quota_lifetime: int = 0  # of an assignment of the quota stream, in whole seconds
    counters: str = field(default="memory", repr=False)  # or the URL of a Redis
    counters_timeout: float = 0.05
    quotas: str | None = None  # a file's absolute name
    usage: int | None = None  # for how many seconds what was used is kept
    rollouts: str | None = field(default=None, repr=False)  # a file's absolute name, or the URL of a Redis


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """Who says how good a model's answers are: their `header`, or applications afterwards."""

    header: str = ""
    feedback: bool = False


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    concurrency: int
    admin: Endpoint


@dataclass(frozen=True, slots=True)
class Plan:
    """`revision` is stamped into every route, so that a call is judged by the plan that Envoy routed it with."""

    revision: str
    listeners: tuple[ListenerPlan, ...]
    envoy: EnvoyPlan
    sidecar: SidecarPlan
    upstreams: Mapping[str, UpstreamPlan]
    authentication: Mapping[str, AuthenticationPlan]
    models: Mapping[str, ChooseSpec]
    routes: tuple[RoutePlan, ...]
    descriptors: Mapping[tuple[str, str], Limit]
    legacy_headers: bool = False
    rollouts: Mapping[str, Rules] = field(default_factory=dict)  # of each model
    scores: Mapping[str, ScorePlan] = field(default_factory=dict)

    @property
    def answers_models(self) -> bool:
        """Whether some route leads to a model, so that the sidecar must hear what its versions do."""
        return any(isinstance(route.target, ToModel) for route in self.routes)

    @property
    def settles(self) -> frozenset[str]:
        """The headers of answers that say what a request came to."""
        return frozenset({limit.settle for spec in self.counted for limit in spec.every if limit.settle})

    @property
    def quotas(self) -> Mapping[str, Quota]:
        """What Envoys share, by how their buckets name it."""
        shared = [route.placement.shared for route in self.routes if route.placement.shared]
        return {quota_key(quota.limit): quota for item in shared for quota in item.quotas.values()}

    @property
    def aggregates(self) -> tuple[AggregateSpec, ...]:
        return tuple([route.target.spec for route in self.routes if isinstance(route.target, ToAggregate)])

    @property
    def shows_certificates(self) -> bool:
        """Whether some listener asks its clients for a certificate."""
        return any(item.tls is not None and item.tls.client_ca is not None for item in self.listeners)

    @property
    def counted(self) -> tuple[LimitSpec, ...]:
        """The limits of routes that are judged in the fused call."""
        specs = [spec.settings for route in self.routes for spec in route.policies]
        return tuple([spec for spec in specs if isinstance(spec, LimitSpec)])

    @property
    def meters(self) -> bool:
        """Whether some route's answers are metered."""
        return any(isinstance(spec.settings, Meter) for route in self.routes for spec in route.policies)

    @property
    def holds(self) -> bool:
        """Whether a request may hold something of a counter, so that the sidecar must hear of its end."""
        return any(spec.holds for spec in self.counted)

    def choices(self, route: RoutePlan) -> frozenset[str]:
        """The upstreams that a policy may choose between on this route."""
        return frozenset(route.target.upstreams) if isinstance(route.target, ToModel) else frozenset()

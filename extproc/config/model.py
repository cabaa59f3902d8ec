"""The shape of gateway.yaml. What one value can get wrong is said here; what two must agree on, in references.py.

The text under each attribute is for an operator who meets the key for the first time: editors and docs/configuration.md
show it.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, SecretStr, field_validator, model_validator

from extproc.config.agreements import SOMETHING, exactly_one, having, rules, where
from extproc.config.limits import ConsumerLimits, EveryLimit, Tier
from extproc.config.models import (
    MOST,
    NO_STICKY,
    STICKY,
    Alias,
    CohortRule,
    ModelFallback,
    ModelPin,
    ModelShadow,
    Percent,
    Tiers,
)
from extproc.config.quota_stream import QuotaStream
from extproc.config.redis_url import (
    NO_SHARED_URL,
    PATTERN,
    SHARED_PATTERN,
    check_redis_url,
    check_shared_url,
    is_redis_url,
)
from extproc.config.rollouts import ModelGuard, ModelRamp
from extproc.config.route import Route, RouteSettings
from extproc.config.settings import (
    Address,
    Duration,
    EditableHeader,
    HeaderName,
    HostPort,
    ListenAddress,
    Name,
    Secret,
    ServedFile,
    Settings,
)
from extproc.config.spelling import IPV6, PORT, Spelled, written
from extproc.config.tls import ListenerTls, UpstreamTls
from extproc.config.versions import ApiVersion
from extproc.core.specs import HUNDREDTHS

MAX_SOCKET_FOLDER = 80  # a socket path has 108 bytes at most (unix(7)), and our own name takes the rest
NOT_LOCAL: Final = "Envoy's admin can stop it and shows its configuration: a loopback address only"
NO_KEY_STORE: Final = "write file:NAME, the file that holds the digests of the API keys, or the URL of a Redis"
NO_ROLLOUT_STORE: Final = "write file:NAME, the file in which rollouts are kept, or the URL of a Redis"
ONE_VERSION: Final = "a ramp or guard moves callers between versions: write at least two"
NO_SOCKETS: Final = "write unix:/FOLDER, an absolute path to the folder of the sidecar's sockets"
SHORTEST_TOKEN: Final = timedelta(seconds=10)  # of which the first half may have passed when an upstream gets it
LONGEST_TOKEN: Final = timedelta(minutes=15)  # nobody can take one back
NO_LIFETIME: Final = "tokens live for whole seconds, from 10s to 15m"
NOT_SENDABLE: Final = "must be printable ASCII of at most 8192 characters, without spaces or line ends around it"
LOGICAL: Final = "dns: logical is for one endpoint, whose name stands for many; write dns: strict"


class TrustedProxies(Settings):
    """Who stands between the client and this listener. Anything not named here is the client itself."""

    hops: Annotated[int, Field(ge=0, le=16)] = 0
    """How many proxies in front of this listener append to `x-forwarded-for`. The client's address is taken from there,
    that many entries from the right; 0 means that whoever connects is the client."""
    proxy_protocol: bool = False
    """Whether every connection begins with the PROXY protocol, as balancers of the transport layer send it.
    Connections without it are then closed."""


class Listener(Settings):
    """An address on which Envoy accepts HTTP requests. Every listener serves every route."""

    name: Name
    """What this listener is called in logs and statistics."""
    address: ListenAddress
    """Where to listen: a numeric IP address and a port."""
    tls: ListenerTls | None = None
    """The certificates with which it speaks TLS, and whose certificates clients may show. Left out: plain HTTP."""
    trusted_proxies: TrustedProxies = TrustedProxies()
    """The proxies in front of this listener. Without it, all clients behind a balancer have one address, and share one
    limit per address."""


def _short_lived(value: timedelta) -> timedelta:
    if not SHORTEST_TOKEN <= value <= LONGEST_TOKEN or value % timedelta(seconds=1):
        raise ValueError(NO_LIFETIME)
    return value


def _sendable(value: SecretStr) -> SecretStr:
    """What every HTTP implementation sends as it is (RFC 9110 §5.5). The value itself is told to nobody."""
    if not re.fullmatch(r"[\x21-\x7e](?:[\x20-\x7e]{0,8190}[\x21-\x7e])?", value.get_secret_value()):
        raise ValueError(NOT_SENDABLE)
    return value


def _local(value: HostPort) -> HostPort:
    if not ipaddress.ip_address(value.host).is_loopback:
        raise ValueError(NOT_LOCAL)
    return value


LocalAddress = Annotated[
    ListenAddress, AfterValidator(_local), written("loopback address", rf"(?:{IPV6}|127\.[0-9.]+):{PORT}", NOT_LOCAL)
]


class EnvoySettings(Settings):
    """How Envoy runs."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 2
    """How many threads handle requests: one per processor core that Envoy may use."""
    admin: LocalAddress = HostPort("127.0.0.1", 9901)
    """Where Envoy's own admin pages are. They can stop Envoy and show its configuration, so only a loopback address
    will do."""


MEMORY: Final = "memory"
NO_QUOTA_FILE: Final = "write file:NAME, the file in which quotas are kept"
KEPT_ELSEWHERE: Final = "quotas are kept where they are counted: leave out quotas where counters are in a Redis"
CounterStoreAt = Annotated[str, written("memory or Redis URL", rf"{MEMORY}|{SHARED_PATTERN}", NO_SHARED_URL)]
KeyStoreAt = Annotated[str, written("file:NAME or Redis URL", rf"file:[\s\S]*|{PATTERN}", NO_KEY_STORE)]


RolloutStoreAt = Annotated[str, written("file:NAME or Redis URL", rf"file:[\s\S]+|{SHARED_PATTERN}", NO_ROLLOUT_STORE)]


class Stores(Settings):
    """Where the sidecar keeps what it must remember."""

    counters: Annotated[CounterStoreAt, Field(repr=False)] = "memory"
    """Where limits are counted. `memory`: in the sidecar's own, anew when it starts, but for `quotas`. Or the
    URL of a Redis, which several sidecars share: `redis://HOST:PORT/NUMBER`, `redis+sentinel://HOST:PORT/SERVICE`,
    `redis+cluster://HOST:PORT,HOST:PORT`, each with `rediss` for TLS, or `unix:///SOCKET?db=NUMBER`. A URL with a
    password belongs into the environment: `${REDIS_URL}`."""
    counters_timeout: Duration = timedelta(milliseconds=50)
    """How long a decision waits for Redis at most; then each limit's `on_error` says what becomes of the request."""
    quotas: Annotated[str, written("file:NAME", r"file:[\s\S]+", NO_QUOTA_FILE)] | None = None
    """The file in which quotas and tokens are kept where they are counted in memory: `file:NAME`, written each second.
    Needed for those of a day or longer. A relative name is looked for beside gateway.yaml."""
    keys: Annotated[KeyStoreAt | None, Field(repr=False)] = None
    """Where the digests of the API keys are, and whose they are: `file:NAME`, or the URL of a Redis
    (`redis://HOST:PORT/NUMBER`, `rediss://` for TLS, `unix:///SOCKET?db=NUMBER`). Needed where a method of
    authentication is `api_key`; made and changed by `extproc keys`. A relative name is looked for beside gateway.yaml.
    A URL with a password belongs into the environment: `${REDIS_URL}`."""

    rollouts: Annotated[RolloutStoreAt | None, Field(repr=False)] = None
    """Where it is kept which version of a model has which share now, and why: `file:NAME`, or the URL of the Redis in
    which counters are. Left out: that Redis, or, where some model has a `ramp` or `guard`, `file:rollouts.json`. A
    relative name is looked for beside gateway.yaml."""

    @field_validator("rollouts")
    @classmethod
    def _names_a_rollout_store(cls, value: str | None) -> str | None:
        if value is None or (value.startswith("file:") and value != "file:"):
            return value
        if value.startswith("file:"):
            raise ValueError(NO_ROLLOUT_STORE)
        return check_shared_url(value)

    @field_validator("counters")
    @classmethod
    def _names_a_counter_store(cls, value: str) -> str:
        return value if value == MEMORY else check_shared_url(value)

    @field_validator("quotas")
    @classmethod
    def _names_a_file(cls, value: str | None) -> str | None:
        if value is not None and not value.removeprefix("file:") != value:
            raise ValueError(NO_QUOTA_FILE)
        return value

    @model_validator(mode="after")
    def _keeps_what_it_counts(self) -> Self:
        if self.quotas is not None and self.counters != MEMORY:
            raise ValueError(KEPT_ELSEWHERE)
        return self

    @field_validator("keys")
    @classmethod
    def _names_a_store(cls, value: str | None) -> str | None:
        if value is None or value.startswith("file:"):
            return value
        if not is_redis_url(value):
            raise ValueError(NO_KEY_STORE)
        return check_redis_url(value)


class Signing(Settings):
    """The tokens of `forward: signed`. Their public keys are at `/.well-known/jwks.json` on the admin address."""

    keys: Annotated[list[ServedFile], Field(min_length=1, max_length=8)]
    """Files with Ed25519 private keys (PEM), as `openssl genpkey -algorithm ed25519` makes them. The first signs, all
    are published. A relative name is looked for beside gateway.yaml."""
    issuer: Annotated[str, Field(min_length=1, max_length=256)] = "extproc"
    """What the tokens' claim `iss` is."""
    lifetime: Annotated[Duration, AfterValidator(_short_lived)] = timedelta(seconds=60)
    """How long a token is good. A token is used again for the same consumer and upstream during the first half."""


def _whole_hours(value: timedelta) -> timedelta:
    if value % timedelta(hours=1):
        raise ValueError("usage is summed up by the hour: write 24h or 90d")
    return value


class UsageSettings(Settings):
    """What each consumer used: requests, bytes and tokens, summed up by the hour."""

    keep: Annotated[Duration, AfterValidator(_whole_hours)] = timedelta(days=90)
    """For how long: whole hours or days, a year at most."""


class Sidecar(Settings):
    """The Python process that Envoy asks."""

    address: Annotated[str, written("unix:/FOLDER", r"unix:/[^\x00]*", NO_SOCKETS)] = "unix:/run/extproc"
    """The folder of the sockets on which the sidecar answers Envoy. Both must be able to enter it; `extproc up` uses a
    folder of its own. At most 80 bytes."""
    admin: Address = HostPort("127.0.0.1", 9900)
    """Where the sidecar answers `/healthz`, `/readyz`, `/metrics` and `/plan`."""
    timeout: Duration = timedelta(milliseconds=500)
    """How long Envoy waits for one decision. What is not decided by then is refused with 503."""
    stores: Stores = Stores()
    """Where counters and keys are kept."""
    signing: Signing | None = None
    """How upstreams are told who is asking so that they can verify it. Needed where a route has `forward: signed`."""
    quota_stream: QuotaStream | None = None
    """How Envoys share limits that they judge by themselves. Needed where a limit has `placement: quota_stream`."""
    usage: UsageSettings | None = None
    """What each consumer used, for `extproc usage`, kept where the counters are: in the Redis, or in the file that
    `stores.quotas` names. Told by Envoy's access log, after the answer: best effort, and no request waits for it. Left
    out: nothing is kept."""

    @field_validator("address")
    @classmethod
    def _is_a_folder_of_sockets(cls, value: str) -> str:
        folder = value.removeprefix("unix:")
        if folder == value or not folder.startswith("/") or "\0" in folder:
            raise ValueError(NO_SOCKETS)
        if len(folder.encode()) > MAX_SOCKET_FOLDER:
            raise ValueError(f"a folder of sockets has a path of at most {MAX_SOCKET_FOLDER} bytes")
        return value

    @property
    def folder(self) -> str:
        return self.address.removeprefix("unix:").rstrip("/")


# Envoy refuses control characters in it (health_check.proto), and a fragment never reaches a server.
HealthPath = Annotated[str, Spelled(r"/[^\s#\x00-\x1f\x7f]*", "not a path: write /healthz", "path")]


class UpstreamCredential(Settings):
    """What the gateway shows an upstream: a provider's key, for one. No client has it or sees it."""

    header: EditableHeader
    """The header that carries it. A client's own header of that name never reaches this upstream."""
    value: Annotated[Secret, AfterValidator(_sendable)]
    """What it carries, whole: `Bearer ${PROVIDER_KEY}`, for one. It is in no record, plan or bootstrap."""


class Upstream(Settings):
    """A group of endpoints that serve the same thing, under one name."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            where(having(dns={"const": "logical"}), {"properties": {"endpoints": {"maxItems": 1}}}),
        )
    )

    endpoints: Annotated[list[Address], Field(min_length=1)]
    """Where it is: hosts with ports. IP addresses are taken as they are, host names are looked up again and again."""
    dns: Literal["strict", "logical"] | None = None
    """How host names are looked up. `strict`: each address of a name is an endpoint. `logical`: a name is one endpoint,
    connected to at whatever address comes first, as large services want it. Left out: `strict` where an endpoint is a
    host name."""
    balance: Literal["round_robin", "least_request", "random"] = "least_request"
    """Which endpoint gets the next request."""
    timeout: Duration | None = None
    """How long one try may take. Without `retries` it shortens the route's own timeout; left out, only that holds."""
    connect_timeout: Duration = timedelta(seconds=2)
    """How long opening a connection may take."""
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    """How often a request is sent again, to another endpoint, where the first one cannot have begun to act on it."""
    health_check: HealthPath | None = None
    """A path that Envoy asks every endpoint for; one that does not answer 200 gets no requests. Left out: no checks."""
    outlier_detection: bool = False
    """Whether an endpoint that keeps answering 5xx gets no requests for a while."""
    credential: UpstreamCredential | None = None
    """What the gateway shows this upstream with every request. Routes to it always ask the sidecar. Health checks do
    not carry it."""
    tls: UpstreamTls | None = None
    """Whom the endpoints must prove to be before they are sent anything. Left out: plain HTTP."""

    @model_validator(mode="after")
    def _has_one_logical_name(self) -> Self:
        if self.dns == "logical" and len(self.endpoints) > 1:
            raise ValueError(LOGICAL)
        return self


class ModelVersion(Settings):
    """One version of a model."""

    upstream: str
    """The upstream that serves this version."""
    weight: Percent
    """Its share of the callers in percent, in steps of 0.01. The weights of a model's versions add up to 100."""
    allow: Tiers | None = None
    """Tiers whose consumers may have this version; all others are drawn for among the other versions. Left out:
    everybody may."""
    price: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """What a thousand of its tokens cost, in any unit: for the guard's `cost`."""


NO_SCORE: Final = "write score: {header: x-score} or score: {feedback: true}"


class Score(Settings):
    """How good a version's answers are, as somebody says: from 0, the worst, to 1, the best."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("header", "feedback"), NO_SCORE))

    header: HeaderName | None = None
    """The header of the upstream's own answers that carries the score."""
    feedback: Literal[True] | None = None
    """Applications say it afterwards, by the request's id: on a route with `feedback: true`, or by `POST /feedback` on
    the sidecar's admin address."""

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        if (self.feedback is None) == (self.header is None):
            raise ValueError(NO_SCORE)
        return self


class Model(Settings):
    """A name behind which several versions answer, each getting its share of the callers."""

    versions: Annotated[dict[Name, ModelVersion], Field(min_length=1)]
    """The versions by name. A caller is told its version in the header `x-model-version`."""
    sticky: Annotated[str, Spelled(STICKY, NO_STICKY, "consumer, none, header:NAME or cookie:NAME")] = "consumer"
    """What keeps a caller on one version. `consumer`: who is asking; `header:NAME`: the value of that header;
    `cookie:NAME`: a cookie that the gateway gives to whoever has none; `none`: every request is chosen for anew. When a
    weight grows, only the callers that must move do."""
    salt: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """What the draw is mixed with. Models of one salt share their callers out alike; another salt shares them out anew.
    Left out: the model's name."""
    aliases: Annotated[list[Alias], Field(max_length=MOST)] = []
    """Other names of the model, for requests that name one."""
    allow: Tiers | None = None
    """Tiers whose consumers may ask for the model; all others are refused with 403. Left out: everybody may."""
    pin: ModelPin | None = None
    """Whether a caller may say which version it wants. Left out: nobody may."""
    rules: Annotated[list[CohortRule], Field(max_length=MOST)] = []
    """Who gets a certain version, whatever the weights say. The first rule that holds decides; a pin comes before all
    of them."""
    score: Score | None = None
    """Who says how good the answers are. Left out: nobody does."""
    shadow: ModelShadow | None = None
    """A version that gets a copy of some requests."""
    fallback: ModelFallback | None = None
    """Who answers where the version that was chosen does not. The answer says so in `x-model-fallback`. Left out: its
    failure is the answer."""

    candidate: str | None = None
    """The version that `ramp` gives callers to and `guard` watches. Left out: the one that is written last."""
    ramp: ModelRamp | None = None
    """How the candidate gets its callers, step by step. Left out: nothing moves by itself."""
    guard: ModelGuard | None = None
    """When the candidate loses its callers again, by itself. Left out: only an operator takes them away."""

    @model_validator(mode="after")
    def _has_a_candidate(self) -> Self:
        if self.candidate is not None and self.candidate not in self.versions:
            raise ValueError(f"the candidate {self.candidate} is no version of the model")
        if len(self.versions) == 1 and (self.ramp is not None or self.guard is not None):
            raise ValueError(ONE_VERSION)
        return self

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        total = sum(round(version.weight * HUNDREDTHS) for version in self.versions.values())
        if total != 100 * HUNDREDTHS:
            raise ValueError(f"the weights of the versions add up to {total / HUNDREDTHS:g}, not to 100")
        return self


# Said of the file as a whole: either the defaults say who may call, or every route does.
AUTHENTICATED: Final = rules(
    {
        "if": {"not": having(defaults=having(authenticate=SOMETHING))},
        "then": {"properties": {"routes": {"items": having(authenticate=SOMETHING)}}},
    }
)


class Config(Settings):
    """One gateway: where it listens, who may call, how often, and where requests go."""

    model_config = ConfigDict(json_schema_extra=AUTHENTICATED)

    listeners: Annotated[list[Listener], Field(min_length=1)]
    """The addresses on which Envoy accepts HTTP requests."""
    envoy: EnvoySettings = EnvoySettings()
    """What Envoy itself is given to run with."""
    sidecar: Sidecar = Sidecar()
    """How Envoy reaches the Python process that decides, and where that keeps what it must remember."""
    upstreams: dict[Name, Upstream] = {}
    """The services behind the gateway, by name. Routes and models lead to them."""
    authentication: Annotated[dict[Name, dict[str, Any]], Field(repr=False)] = {}
    """Ways of saying who is asking, by name, each of one kind. A route's `authenticate` names those that it accepts."""
    tiers: dict[Name, Tier] = {}
    """Classes of consumers, each with its limits. A consumer's tier is in its token, or beside its API key. Where a
    route counts `tier`, a consumer without a tier, or of one that is not named here, is refused."""
    consumers: dict[str, ConsumerLimits] = {}
    """Limits of single consumers, by their ids, each in place of the same one of the consumer's tier wherever `tier` is
    counted."""
    limits: EveryLimit = EveryLimit()
    """Who else may say limits, and what clients are told of them all."""
    models: dict[Name, Model] = {}
    """Names behind which several versions answer, each getting its share of the callers."""
    versions: dict[Name, ApiVersion] = {}
    """The versions of the API: which are there to stay, which are deprecated, and when they are gone. A route's
    `version` names the one that it serves."""
    defaults: RouteSettings = RouteSettings()
    """What holds for every route that does not say otherwise. A route's own value replaces the default whole: lists are
    not joined."""
    routes: Annotated[list[Route], Field(min_length=1)]
    """What the gateway serves. The first route whose `match` holds serves the request; where none does, it is answered
    with 404."""

"""The shape of gateway.yaml. What one value can get wrong is said here; what two must agree on, in references.py."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from extproc.config.expressions import compile_condition
from extproc.config.settings import (
    Address,
    Cel,
    Duration,
    HeaderName,
    HostPort,
    LimitRate,
    Name,
    Settings,
    Size,
)
from extproc.core.names import is_owned

MAX_BODY = 64 * 1024 * 1024  # Envoy buffers it: a larger upload wants a streaming route
MAX_SOCKET_FOLDER = 80  # a socket path has 108 bytes at most (unix(7)), and our own name takes the rest
HUNDREDTHS = 100


class TrustedProxies(Settings):
    """Who stands between the client and this listener. Anything not named here is the client itself."""

    hops: Annotated[int, Field(ge=0, le=16)] = 0
    proxy_protocol: bool = False


class Listener(Settings):
    name: Name
    address: Address
    trusted_proxies: TrustedProxies = TrustedProxies()


class EnvoySettings(Settings):
    concurrency: Annotated[int, Field(ge=1, le=256)] = 2
    admin: Address = HostPort("127.0.0.1", 9901)


class Stores(Settings):
    counters: Literal["memory"] = "memory"
    keys: str | None = None

    @field_validator("keys")
    @classmethod
    def _names_a_file(cls, value: str | None) -> str | None:
        if value is not None and not value.removeprefix("file:") != value:
            raise ValueError("write file:NAME, the file that holds the hashes of the API keys")
        return value


class Sidecar(Settings):
    address: str = "unix:/run/extproc"
    admin: Address = HostPort("127.0.0.1", 9900)
    timeout: Duration = timedelta(milliseconds=500)
    stores: Stores = Stores()

    @field_validator("address")
    @classmethod
    def _is_a_folder_of_sockets(cls, value: str) -> str:
        folder = value.removeprefix("unix:")
        if folder == value or not folder.startswith("/"):
            raise ValueError("write unix:/FOLDER, an absolute path to the folder of the sidecar's sockets")
        if len(folder.encode()) > MAX_SOCKET_FOLDER:
            raise ValueError(f"a folder of sockets has a path of at most {MAX_SOCKET_FOLDER} bytes")
        return value

    @property
    def folder(self) -> str:
        return self.address.removeprefix("unix:").rstrip("/")


class Upstream(Settings):
    endpoints: Annotated[list[Address], Field(min_length=1)]
    dns: Literal["strict", "logical"] | None = None
    balance: Literal["round_robin", "least_request", "random"] = "least_request"
    timeout: Duration | None = None
    connect_timeout: Duration = timedelta(seconds=2)
    retries: Annotated[int, Field(ge=0, le=10)] = 0
    health_check: Annotated[str, Field(pattern=r"^/[^\s#]*$")] | None = None
    outlier_detection: bool = False


class Tier(Settings):
    rate: LimitRate
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None


class ModelVersion(Settings):
    upstream: str
    weight: Annotated[float, Field(ge=0, le=100)]

    @field_validator("weight")
    @classmethod
    def _in_hundredths(cls, value: float) -> float:
        if round(value * HUNDREDTHS) != value * HUNDREDTHS:
            raise ValueError("weights are percentages in steps of 0.01")
        return value


class Model(Settings):
    versions: Annotated[dict[Name, ModelVersion], Field(min_length=1)]
    sticky: Annotated[str, Field(pattern=r"^(consumer|none|header:[a-z0-9-]+)$")] = "consumer"

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        total = sum(round(version.weight * HUNDREDTHS) for version in self.versions.values())
        if total != 100 * HUNDREDTHS:
            raise ValueError(f"the weights of the versions add up to {total / HUNDREDTHS:g}, not to 100")
        return self


class ValueMatch(Settings):
    """One way of matching a header or query parameter."""

    exact: str | None = None
    prefix: str | None = None
    present: Literal[True] | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"present": True} if value == "present" else {"exact": value}
        return {"exact": str(value)} if isinstance(value, int | float) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if sum(way is not None for way in (self.exact, self.prefix, self.present)) != 1:
            raise ValueError("write a text, the word present, or one of exact, prefix, present")
        return self


Host = Annotated[str, Field(pattern=r"^(\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*)$")]
MatchPath = Annotated[str, Field(pattern=r"^/[^?#\s]*$", max_length=1024)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Match(Settings):
    """All that is written must hold. `path_prefix` ends at a segment: /api matches /api and /api/x, never /apix."""

    hosts: list[Host] = []
    path: MatchPath | None = None
    path_prefix: MatchPath | None = None
    methods: list[Method] = []
    headers: dict[HeaderName, ValueMatch] = {}
    query: dict[str, ValueMatch] = {}

    @model_validator(mode="after")
    def _has_one_path(self) -> Self:
        if (self.path is None) == (self.path_prefix is None):
            raise ValueError("write one of path and path_prefix")
        return self

    @field_validator("headers")
    @classmethod
    def _leaves_ours_alone(cls, value: dict[str, ValueMatch]) -> dict[str, ValueMatch]:
        for name in value:
            if is_owned(name):
                raise ValueError(
                    f"{name} is set by the gateway itself; a route that it selects would be chosen by nobody"
                )
        return value


class LimitUse(Settings):
    """`tier`, or a rate of the route's own."""

    per: Literal["tier", "consumer", "address", "route"]
    rate: LimitRate | None = None
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_short(cls, value: Any) -> Any:
        return {"per": "tier"} if value == "tier" else value

    @model_validator(mode="after")
    def _has_a_rate(self) -> Self:
        if (self.rate is None) != (self.per == "tier"):
            raise ValueError("a limit has a rate, but for `tier`, whose rate is the tier's own")
        return self


class PolicyUse(Settings):
    """`use: KIND` and that kind's own settings beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str


class Redirect(Settings):
    """`to` is a path, which replaces the matched one, or a whole http(s) URL."""

    to: Annotated[str, Field(pattern=r"^(https?://[^/\s?#]+)?/[^\s]*$")]
    status: Literal[301, 302, 303, 307, 308] = 308


def _names(value: Any) -> Any:
    """`none` becomes the empty list: nobody is asked who they are."""
    if value == "none":
        return []
    if value == []:
        raise ValueError("write none, the word, for a route that anybody may call")
    return [value] if isinstance(value, str) else value


Authenticate = list[str]


def _condition(value: str) -> str:
    compile_condition(value)
    return value


class RouteSettings(Settings):
    """What `defaults` gives and a route may replace."""

    authenticate: Authenticate | None = None
    limits: list[LimitUse] | None = None
    policies: list[PolicyUse] | None = None
    timeout: Duration | None = None
    body_limit: Annotated[Size, Field(ge=1, le=MAX_BODY)] | None = None

    @field_validator("authenticate", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return value if value is None else _names(value)


class Route(RouteSettings):
    name: Name
    match: Match
    upstream: str | None = None
    model: str | None = None
    redirect: Redirect | None = None
    authorize: Annotated[Cel, AfterValidator(_condition)] | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if sum(target is not None for target in (self.upstream, self.model, self.redirect)) != 1:
            raise ValueError("a route leads to one of upstream, model and redirect")
        if self.stream and self.timeout is not None:
            raise ValueError("a streaming route has no timeout: leave out one of stream and timeout")
        return self


class Config(Settings):
    """One gateway."""

    listeners: Annotated[list[Listener], Field(min_length=1)]
    envoy: EnvoySettings = EnvoySettings()
    sidecar: Sidecar = Sidecar()
    upstreams: dict[Name, Upstream] = {}
    authentication: dict[Name, dict[str, Any]] = {}
    tiers: dict[Name, Tier] = {}
    models: dict[Name, Model] = {}
    defaults: RouteSettings = RouteSettings()
    routes: Annotated[list[Route], Field(min_length=1)]

"""The shape of one route of gateway.yaml, and of what `defaults` gives it."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from extproc.config.settings import Condition, Duration, HeaderName, LimitRate, Name, Settings, Size, Spelled
from extproc.core.names import is_owned

MAX_BODY: Final = 64 * 1024 * 1024  # Envoy buffers it: a larger upload wants a streaming route
WAYS: Final = "write a text, the word present, or one of exact, prefix, present"


class ValueMatch(Settings):
    """One way of matching a header or query parameter."""

    exact: str | None = None
    prefix: Annotated[str, Spelled(r"(?s:.+)", "every value begins with nothing: write present")] | None = None
    present: Literal[True] | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"present": True} if value == "present" else {"exact": value}
        if isinstance(value, bool) or not isinstance(value, int | float | dict):
            raise ValueError(WAYS)
        return value if isinstance(value, dict) else {"exact": str(value)}

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if sum(way is not None for way in (self.exact, self.prefix, self.present)) != 1:
            raise ValueError(WAYS)
        return self


def _not_owned(name: str) -> str:
    if is_owned(name) or name.startswith("x-envoy-"):
        raise ValueError(f"{name} is never a client's: it is removed at the edge, so no request would match")
    return name


Host = Annotated[
    str,
    Spelled(
        r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*",
        "not a host: write api.example.com, *.example.com or *, in lower case and without a port",
    ),
]
MatchPath = Annotated[
    str,
    Spelled(r"/[^?#\s\x00-\x1f\x7f]*", "not a path: write /api, without query, fragment or spaces"),
    Field(max_length=1024),
]
MatchHeader = Annotated[HeaderName, AfterValidator(_not_owned)]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Match(Settings):
    """All that is written must hold. `path_prefix` ends at a segment: /api matches /api and /api/x, never /apix."""

    hosts: list[Host] = []
    path: MatchPath | None = None
    path_prefix: MatchPath | None = None
    methods: list[Method] = []
    headers: dict[MatchHeader, ValueMatch] = {}
    query: dict[Annotated[str, Spelled(".+", "a parameter has a name")], ValueMatch] = {}

    @model_validator(mode="after")
    def _has_one_path(self) -> Self:
        if (self.path is None) == (self.path_prefix is None):
            raise ValueError("write one of path and path_prefix")
        return self


class LimitUse(Settings):
    """`tier`, or a rate of the route's own."""

    per: Literal["tier", "consumer", "address", "route"]
    rate: LimitRate | None = None
    burst: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _spelled_short(cls, value: Any) -> Any:
        if isinstance(value, str) and value != "tier":
            raise ValueError("write tier, or a limit as {per: consumer, rate: 10/s}")
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

    to: Annotated[
        str,
        Spelled(
            r"(https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?)?/(?!/)[^\s\x00-\x1f\x7f]*",
            "not a place to go: write a path or a whole URL, as /new or https://example.com/new",
        ),
    ]
    status: Literal[301, 302, 303, 307, 308] = 308

    @field_validator("to")
    @classmethod
    def _has_a_real_port(cls, value: str) -> str:
        try:
            urlsplit(value).port  # noqa: B018 - reading it is the check
        except ValueError:
            raise ValueError("no host has such an address or port") from None
        return value


def _names(value: Any) -> Any:
    """`none` becomes the empty list: nobody is asked who they are."""
    if value == "none":
        return []
    if value == []:
        raise ValueError("write none, the word, for a route that anybody may call")
    return [value] if isinstance(value, str) else value


class RouteSettings(Settings):
    """What `defaults` gives and a route may replace."""

    authenticate: list[str] | None = None
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
    authorize: Condition | None = None
    stream: bool = False

    @model_validator(mode="after")
    def _leads_somewhere(self) -> Self:
        if sum(target is not None for target in (self.upstream, self.model, self.redirect)) != 1:
            raise ValueError("a route leads to one of upstream, model and redirect")
        if self.stream and self.timeout is not None:
            raise ValueError("a streaming route has no timeout: leave out one of stream and timeout")
        if self.redirect and self.match.path_prefix and "?" in self.redirect.to:
            raise ValueError("a redirected prefix keeps the request's own query: leave the ? out of redirect.to")
        return self

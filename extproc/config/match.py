"""The shape of a route's `match`: which requests it serves."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from extproc.config.agreements import exactly_one
from extproc.config.settings import HeaderName, Settings
from extproc.config.spelling import FIELD_NAME, Short, Spelled, text, written
from extproc.core.media_type import MEDIA_TYPE
from extproc.core.names import ENVOY_PREFIX, OWNED_PREFIXES, is_owned

ONE_PATH: Final = "write one of path and path_prefix"
WAYS: Final = "write a text, the word present, or one of exact, prefix, present"


class ValueMatch(Settings):
    """How the value of a header or query parameter is compared. Write one of these."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("exact", "prefix", "present"), WAYS))

    exact: str | None = None
    """The whole value."""
    prefix: Annotated[str, Spelled(r"[\s\S]+", "every value begins with nothing: write present")] | None = None
    """What the value begins with."""
    present: Literal[True] | None = None
    """`true`: whatever the value is."""

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
    if is_owned(name) or name.startswith(ENVOY_PREFIX):
        raise ValueError(f"{name} is never a client's: it is removed at the edge, so no request would match")
    return name


Host = Annotated[
    str,
    Spelled(
        r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*",
        "not a host: write api.example.com, *.example.com or *, in lower case and without a port",
        "host",
    ),
]
MatchPath = Annotated[
    str,
    Spelled(r"/[^?#\s\x00-\x1f\x7f]*", "not a path: write /api, without query, fragment or spaces", "path"),
    Field(max_length=1024),
]
MatchHeader = Annotated[
    HeaderName,
    AfterValidator(_not_owned),
    written(
        "header name",
        f"(?!{'|'.join((ENVOY_PREFIX, *OWNED_PREFIXES))}|authorization$){FIELD_NAME}",
        "not a header to match on: in lower case, and none that carries a credential or that the edge removes",
    ),
]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
# Numbers are compared as they are written; `present` is the word for any value.
AnyValue = Annotated[
    ValueMatch,
    Short(({"const": "present", "description": "Whatever the value is."}, text("text"), {"type": "number"})),
]


MediaType = Annotated[
    str,
    Spelled(
        MEDIA_TYPE,
        "not a media type: write application/vnd.shop.v2+json or application/json;version=2",
        "media type",
    ),
    Field(max_length=256),
]


class Match(Settings):
    """Which requests a route serves. All that is written must hold."""

    model_config = ConfigDict(json_schema_extra=exactly_one(("path", "path_prefix"), ONE_PATH))

    hosts: list[Host] = []
    """The hosts that the client may ask for, without ports. `*.example.com` stands for every name below example.com.
    Left out, or with `*` among them: any. Case, port and a dot at the end do not matter; whatever is no name, IPv4 or
    bracketed IPv6 address is answered with 400."""
    path: MatchPath | None = None
    """The whole path, without its query. Write this or `path_prefix`. Paths are compared in their normal form, which is
    also what the upstream gets: dot segments, repeated slashes and needless escapes are gone. Letter case, a slash at
    the end and parameters matter: `/api` is neither /Api nor /api/ nor /api;v=1."""
    path_prefix: MatchPath | None = None
    """What the path begins with, up to a slash: `/api` matches /api, /api/ and /api/x, never /apix, /Api or
    /api;v=1."""
    methods: list[Method] = []
    """The HTTP methods. Left out: any."""
    headers: dict[MatchHeader, AnyValue] = {}
    """Headers that must be there, by name in lower case. A text or number is the whole value, `present` any."""
    query: dict[Annotated[str, Spelled(".+", "a parameter has a name")], AnyValue] = {}
    """Query parameters that must be there, by name, compared as headers are."""
    media_type: MediaType | None = None
    """A media type that `accept` must name, with at most one parameter: `application/vnd.shop.v2+json`,
    `application/json;version=2`. `*/*` names none."""

    @model_validator(mode="after")
    def _has_one_path(self) -> Self:
        if (self.path is None) == (self.path_prefix is None):
            raise ValueError(ONE_PATH)
        return self

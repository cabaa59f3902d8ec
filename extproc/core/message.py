"""What Envoy showed us, in plain Python: a request, a response, and who is asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from extproc.core.headers import Headers
from extproc.core.quick import quick

NO_CLAIMS: Mapping[str, object] = MappingProxyType({})


@quick
@dataclass(frozen=True, slots=True)
class Request:
    """A request as it will reach the upstream: the path is the one that Envoy has normalised and matched.

    `path` has no query; `query` is the raw text after `?` or empty; `address` is the client's IP address as Envoy
    trusts it (never read from a header); `id` is Envoy's own x-request-id; `stream` names this one HTTP stream and is
    never chosen by a client, so it makes charging idempotent. `body` is None where no body was shown; `size` is how
    many bytes it has, where Envoy says so of one that is not shown. `certificate` is the client's own in PEM, as Envoy
    verified it; empty where none was given.
    """

    method: str
    path: str
    host: str = ""
    query: str = field(default="", repr=False)
    scheme: str = "http"
    headers: Headers = field(default_factory=Headers)
    address: str = ""
    id: str = ""
    stream: str = ""
    body: bytes | None = field(default=None, repr=False)
    certificate: str = field(default="", repr=False)
    size: int = 0


@quick
@dataclass(frozen=True, slots=True)
class Response:
    status: int
    headers: Headers = field(default_factory=Headers)
    body: bytes | None = field(default=None, repr=False)


@quick
@dataclass(frozen=True, slots=True)
class Consumer:
    """The authenticated caller. `method` is the name of the authentication that vouches for it.

    `anonymous` is true for whoever a route lets in without a credential: upstreams are told no id, and what is counted
    per consumer is counted per address.
    """

    id: str
    tier: str | None = None
    scopes: tuple[str, ...] = ()
    claims: Mapping[str, object] = field(default_factory=lambda: NO_CLAIMS, repr=False)
    method: str = ""
    groups: tuple[str, ...] = ()
    anonymous: bool = False


class Chosen(NamedTuple):
    """The version of a model that was decided for, or that answered in its place."""

    model: str
    version: str

    def answered_by(self, version: str, fallen_back: str) -> Chosen:
        """What an answer says of itself, where it names this version as the one that failed before: an upstream may
        send any header, and must not lay what it does at another version's door."""
        return Chosen(self.model, version) if version and fallen_back == self.version != version else self

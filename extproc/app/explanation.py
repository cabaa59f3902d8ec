"""What an explanation says: plain data, for a person or as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

# What Envoy itself tells every upstream (http_conn_man/headers).
BY_ENVOY: Final = ("x-forwarded-for", "x-forwarded-proto", "x-envoy-external-address", "x-request-id")


@dataclass(frozen=True, slots=True)
class Judgement:
    """One policy: what it demands and where the file says so, what it decided, and how long that took.

    `decision` is continue, refuse, error, `not asked` where an earlier one had refused, or `later` where it judges the
    upstream's answer.
    """

    policy: str
    rule: str
    at: str
    decision: str
    reason: str = ""
    said: str = ""
    duration_us: float = 0.0


@dataclass(frozen=True, slots=True)
class UpstreamRequest:
    """What arrives there, but for what is BY_ENVOY."""

    upstream: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class PartRequest:
    """One part of an aggregate, and what its upstream would get; `said` is why that cannot be told, or would not be."""

    part: str
    upstream: str
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    said: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`status` is the gateway's own answer, 0 where the upstream answers; `calls` the sidecar's services asked."""

    method: str
    host: str
    path: str
    decision: str
    status: int
    reason: str
    detail: str = ""
    route: str = ""
    at: str = ""
    calls: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    policies: tuple[Judgement, ...] = ()
    consumer: str = ""
    upstream: UpstreamRequest | None = None
    parts: tuple[PartRequest, ...] = ()
    client_headers: tuple[tuple[str, str], ...] = ()
    body: str = field(default="", repr=False)

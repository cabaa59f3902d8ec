"""Limits that each Envoy judges by itself: what is said of them all, and what such a limit must be."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field

from extproc.config.raw import Raw, inherited, items, mapping
from extproc.config.settings import Duration, Settings, parse_rate
from extproc.core.problems import Finding, Path

QUOTA_STREAM: Final = "quota_stream"
MOST_ENVOYS: Final = 64
DEFAULT_ENVOYS: Final = 2
# Envoy 1.40 reports every five seconds, and as late may it find a sidecar again that was away.
SHORTEST: Final = timedelta(seconds=10)
LONGEST: Final = timedelta(hours=1)
NO_LIFETIME: Final = "an assignment holds for whole seconds, from 10s to 1h"
COUNTED: Final = ("tier", "consumer", "route")
KNOWN: Final = frozenset({"per", "rate", "burst", "placement"})
WRITE: Final = "write sidecar: {quota_stream: {envoys: 2}}"
IN_THE_SIDECAR: Final = "leave out placement: the sidecar can judge it"


def _lifetime(value: timedelta) -> timedelta:
    if not SHORTEST <= value <= LONGEST or value % timedelta(seconds=1):
        raise ValueError(NO_LIFETIME)
    return value


class QuotaStream(Settings):
    """How limits with `placement: quota_stream` are shared among Envoys."""

    envoys: Annotated[int, Field(ge=1, le=MOST_ENVOYS)] = DEFAULT_ENVOYS
    """How many Envoys there are at most. Each may admit an equal part of a burst at once; the rate is shared by demand,
    but for an eighth, which is kept in equal parts for those who are not there or cannot be reached. One more than that
    is given nothing, and admits nothing."""
    ttl: Annotated[Duration, AfterValidator(_lifetime)] = timedelta(seconds=15)
    """How long an Envoy goes on with its share when it hears nothing from the sidecar; afterwards it has its part of
    the eighth alone. As long does it take until a share that it gave up is given to another."""


def check_quota_stream(raw: Raw) -> list[Finding]:
    """What limits with this placement need of the rest of the file."""
    return [
        finding for index, route in items(mapping(raw), "routes") for finding in _route(raw, route, ("routes", index))
    ]


def _route(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    own = route.get("limits") is not None
    uses: Any = inherited(raw, route, "limits")
    shared = [
        (index, mapping(use))
        for index, use in enumerate(uses if isinstance(uses, list) else [])
        if mapping(use).get("placement") == QUOTA_STREAM
    ]
    for place, (index, use) in enumerate(shared):
        where: Path = (*path, "limits", index) if own else path
        if place:
            yield Finding(where, "Envoy can judge one limit of a route by itself, and this is another", IN_THE_SIDECAR)
        yield from _limit(raw, route, use, where)


def _limit(raw: Raw, route: Raw, use: Raw, where: Path) -> Iterator[Finding]:
    stream = mapping(raw.get("sidecar")).get(QUOTA_STREAM)
    if not isinstance(stream, dict):
        yield Finding(where, "a limit that Envoys share, and nothing says among how many", WRITE)
        return
    per = use.get("per")
    if isinstance(per, str) and per not in COUNTED:
        yield Finding(where, f"Envoy cannot count per {per} by itself, only per {', '.join(COUNTED)}", IN_THE_SIDECAR)
    for key in sorted(map(str, set(use) - KNOWN)):
        yield Finding((*where, key), f"Envoy judges a rate by itself, and knows nothing of {key}", IN_THE_SIDECAR)
    if per in ("tier", "consumer"):
        yield from _nameless(raw, route, where)
    envoys = stream.get("envoys", DEFAULT_ENVOYS)
    if per == "tier":
        yield from _tiers(raw, use, where)
    tiers = mapping(raw.get("tiers")) if per == "tier" else {"": use}
    for name, limit in tiers.items():
        burst = _burst(mapping(limit))
        what = f"the tier {name}" if name else "the limit"
        if burst is not None and isinstance(envoys, int) and burst < envoys:
            hint = f"write a burst of {envoys} or more"
            yield Finding(where, f"{what} has a burst of {burst}, of which {envoys} Envoys cannot have one each", hint)


def _tiers(raw: Raw, use: Raw, where: Path) -> Iterator[Finding]:
    """Envoy knows a caller's tier and the tier's rate; nothing of limits that are the caller's own, or of others."""
    if use.get("rate") is not None:
        yield Finding(where, "Envoy counts callers apart by itself, not those of a tier together", IN_THE_SIDECAR)
    if raw.get("consumers") or mapping(raw.get("limits")).get("claim") is not None:
        yield Finding(where, "limits of a caller's own win over the tier's, and Envoy knows none", IN_THE_SIDECAR)
    for name, limit in mapping(raw.get("tiers")).items():
        for key in sorted(map(str, set(mapping(limit)) - KNOWN)):
            yield Finding(where, f"the tier {name} has more than a rate: {key}", IN_THE_SIDECAR)


def _nameless(raw: Raw, route: Raw, where: Path) -> Iterator[Finding]:
    """Whoever is anonymous has no name to be counted by: refused, each and always."""
    methods = inherited(raw, route, "authenticate")
    known = mapping(raw.get("authentication"))
    for name in [methods] if isinstance(methods, str) else methods if isinstance(methods, list) else []:
        if isinstance(name, str) and "anonymous" in mapping(known.get(name)):
            said = f"Envoy counts callers by their names, and {name} lets in some that have none"
            yield Finding(where, said, IN_THE_SIDECAR)


def _burst(limit: Raw) -> int | None:
    """As it will be read; None where there is no rate, or what is written is told elsewhere."""
    burst = limit.get("burst")
    if isinstance(burst, int) and limit.get("rate") is not None:
        return burst
    try:
        return parse_rate(limit.get("rate")).count
    except ValueError:
        return None

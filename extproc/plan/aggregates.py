"""Config -> what an aggregate's parts are, with everything that a part does not say itself."""

from __future__ import annotations

import json
from typing import Final

from extproc.config.aggregate import Merge, Part
from extproc.config.expressions import reads_in_parts
from extproc.config.model import Config, Upstream
from extproc.config.route import Route
from extproc.core.specs import AggregateSpec, Lines, PartSpec, VersionSpec
from extproc.core.versions import fields_of

BODY: Final = "request.json"


def aggregate_spec(
    config: Config, route: Route, version: VersionSpec | None, deadline: float, limit: int
) -> AggregateSpec | None:
    """`version`, `deadline` and `limit` are the route's own, for the whole answer."""
    if route.aggregate is None:
        return None
    merge = route.merge or Merge()
    parts = [
        _part(name, part, config.upstreams[part.upstream], deadline, limit) for name, part in route.aggregate.items()
    ]
    shown = any(reads_in_parts(text, BODY) for part in route.aggregate.values() for _, text in part.expressions)
    shown = shown or (merge.body is not None and reads_in_parts(merge.body, BODY))
    lines = Lines(merge.ndjson) if merge.ndjson else Lines.NEVER if merge.body or shown else Lines.ON_REQUEST
    return AggregateSpec(
        route.name,
        tuple(parts),
        merge.body or "",
        merge.partial,
        lines,
        deadline,
        limit,
        shown,
        said=_said(route, version),
    )


def _said(route: Route, version: VersionSpec | None) -> tuple[tuple[str, str], ...]:
    """As bootstrap.routes has it."""
    varying = (("vary", "accept"),) if route.match.media_type is not None else ()
    return (*(fields_of(version.version, version.successor_at) if version else ()), *varying)


def _part(name: str, part: Part, upstream: Upstream, deadline: float, limit: int) -> PartSpec:
    retries = upstream.retries if part.retries is None else part.retries
    return PartSpec(
        name=name,
        upstream=part.upstream,
        path=part.path,
        method=part.method,
        headers=dict(part.headers),
        body=part.body or "",
        when=part.when or "",
        timeout=min(deadline, _timeout(part, upstream, retries) or deadline),
        retries=retries,
        optional=part.optional or part.has_default,
        default=json.dumps(part.default, ensure_ascii=False, separators=(",", ":")) if part.has_default else None,
        accepts=frozenset(part.accept_statuses),
        limit=min(limit, part.response_limit or limit),
    )


def _timeout(part: Part, upstream: Upstream, retries: int) -> float | None:
    """With retries, an upstream's own is for each try (plan.times has the same for routes)."""
    if part.timeout is not None:
        return part.timeout.total_seconds()
    return upstream.timeout.total_seconds() if upstream.timeout is not None and not retries else None

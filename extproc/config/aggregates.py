"""What `aggregate` and `merge` of a route must agree on with the rest of a file, and parts with each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

from pydantic import ValidationError

from extproc.config.aggregate import Merge, Part
from extproc.config.expressions import reads_in_parts
from extproc.config.raw import Raw, inherited, items, mapping
from extproc.config.sentences import nearest
from extproc.config.settings import parse_duration
from extproc.core.aggregation import cycle_in, named_parts
from extproc.core.problems import Finding, Path

# Envoy closes a request on which nothing happens for five minutes, and a client has left long before.
LONGEST: Final = timedelta(seconds=60)
BODY: Final = "request.json"
Parts = Mapping[str, Part]  # those that can be read; their own model says what is wrong with the others


def check_aggregates(data: Any) -> list[Finding]:
    raw = mapping(data)
    return [finding for index, route in items(raw, "routes") for finding in _route(raw, route, ("routes", index))]


def _route(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    written = mapping(route.get("aggregate"))
    if not written:
        return
    parts, at = _read(written), (*path, "aggregate")
    upstreams = mapping(raw.get("upstreams"))
    for name, part in written.items():
        upstream = mapping(part).get("upstream")
        if isinstance(upstream, str) and upstream not in upstreams:
            where = (*at, name, "upstream")
            yield Finding(where, f"there is no upstream {upstream!r}", nearest(upstream, upstreams))
    yield from _unknown(written, parts, at)
    yield from _circle(parts, at)
    yield from _merge(mapping(route.get("merge")), written, parts, path)
    yield from _bounds(raw, route, path)


def _read(written: Raw) -> Parts:
    read: dict[str, Part] = {}
    for name, part in written.items():
        try:
            read[name] = Part.model_validate(part)
        except ValidationError:
            continue
    return read


def _unknown(written: Raw, parts: Parts, at: Path) -> Iterator[Finding]:
    for name, part in parts.items():
        for place, text in part.expressions:
            for other in sorted(named_parts(text) - written.keys()):
                hint = nearest(other, [known for known in written if known != name])
                yield Finding((*at, name, *place), f"there is no part {other!r}", hint)


def _circle(parts: Parts, at: Path) -> Iterator[Finding]:
    circle = cycle_in({name: part.needs for name, part in parts.items()})
    if len(circle) == 2:  # noqa: PLR2004 - the part, and itself again
        yield Finding((*at, circle[0]), f"{circle[0]} waits for itself")
    elif circle:
        yield Finding((*at, circle[0]), f"parts wait for each other: {' → '.join(circle)}")


def _merge(merge: Raw, written: Raw, parts: Parts, path: Path) -> Iterator[Finding]:
    try:
        read = Merge.model_validate(merge)
    except ValidationError:
        return
    if read.partial in written:
        hint = "write merge: {partial: another name}"
        yield Finding((*path, "aggregate", read.partial), f"{read.partial} is where missing parts are named", hint)
    for other in sorted(named_parts(read.body or "") - written.keys()):
        yield Finding((*path, "merge", "body"), f"there is no part {other!r}", nearest(other, written))
    reading = [name for name, part in parts.items() if any(reads_in_parts(text, BODY) for _, text in part.expressions)]
    if read.ndjson in ("always", "on_request") and reading:
        said = f"{reading[0]} reads {BODY}, for which Envoy holds the request: then it takes a whole answer only"
        yield Finding((*path, "merge", "ndjson"), said, "leave out one of them")


def _bounds(raw: Raw, route: Raw, path: Path) -> Iterator[Finding]:
    try:
        timeout = parse_duration(inherited(raw, route, "timeout"))
    except ValueError:
        return
    if timeout > LONGEST:
        where = (*path, "timeout") if route.get("timeout") is not None else path
        said = f"an aggregate is put together within {LONGEST.seconds} s at most"
        yield Finding(where, said, "write a shorter timeout on this route")

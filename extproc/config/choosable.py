"""Routes by which a client could get around another route's authentication: it would only have to send a header.

Envoy's own warning: a route without a check must not be chosen by what clients write freely (envoyproxy/envoy#40236).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from extproc.config.raw import NOBODY, Raw, inherited, items, mapping
from extproc.core.matching import hosts_meet, methods_meet, paths_meet
from extproc.core.problems import Finding

CHOSEN: Final = ("headers", "query", "media_type")  # what of a match the client writes as it likes
HINT: Final = "match by path, host and method alone, or authenticate"
Placed = tuple[int, Raw]  # a route, and its place among the routes


def check_choosable(data: Any) -> list[Finding]:
    """One finding for each open route that is matched on what the client chooses."""
    raw = mapping(data)
    routes = [
        (index, route) for index, route in items(raw, "routes") if not route.get("redirect")
    ]  # which lets nobody in
    guarded = [one for one in routes if _asks(raw, one[1]) is True]
    return [finding for one in routes if _is_open(raw, one[1]) for finding in _chosen(one, guarded)]


def _chosen(one: Placed, guarded: Sequence[Placed]) -> Iterator[Finding]:
    index, route = one
    match = mapping(route.get("match"))
    chosen = next((key for key in CHOSEN if _asks_for(match, key)), None)
    if chosen is None:
        return
    passed = next((other for other in guarded if _could_serve(other, index, match)), None)
    if passed is not None:
        what = "this parameter" if chosen == "query" else "this header"
        said = f"whoever sends {what} gets around the authentication of route {passed[1].get('name')!r}"
        yield Finding(("routes", index, "match", chosen), said, HINT)


def _could_serve(other: Placed, index: int, match: Raw) -> bool:
    """Whether a request of this match could get to the other route instead. One that comes first and asks for no header
    and no parameter takes them all: none is left to choose."""
    position, route = other
    theirs = mapping(route.get("match"))
    takes_all = position < index and not any(_asks_for(theirs, key) for key in CHOSEN)
    return not takes_all and _meet(match, theirs)


def _asks_for(match: Raw, key: str) -> bool:
    written = match.get(key)
    return bool(mapping(written)) or (isinstance(written, str) and bool(written))


def _is_open(raw: Raw, route: Raw) -> bool:
    """Anybody may call, and nothing else judges: a policy of the user's own may well be a check."""
    judged = inherited(raw, route, "policies") or inherited(raw, route, "authorize")
    return _asks(raw, route) is False and not judged


def _asks(raw: Raw, route: Raw) -> bool | None:
    """Whether who is asking must say so; None where that is not written."""
    written = inherited(raw, route, "authenticate")
    if written is None or written == NOBODY:
        return None if written is None else False
    methods = mapping(raw.get("authentication"))
    named = written if isinstance(written, list) else [written]
    return not any("anonymous" in mapping(methods.get(name)) for name in named if isinstance(name, str))


def _meet(one: Raw, other: Raw) -> bool:
    mine, theirs = _path(one), _path(other)
    if mine is None or theirs is None or not paths_meet(*mine, *theirs):
        return False
    return hosts_meet(_hosts(one), _hosts(other)) and methods_meet(_texts(one, "methods"), _texts(other, "methods"))


def _path(match: Raw) -> tuple[str, bool] | None:
    """The path, and whether it is a prefix."""
    whole, prefix = match.get("path"), match.get("path_prefix")
    if isinstance(whole, str):
        return whole, False
    return (prefix, True) if isinstance(prefix, str) else None


def _hosts(match: Raw) -> list[str]:
    hosts = _texts(match, "hosts")
    return [] if "*" in hosts else hosts


def _texts(match: Raw, key: str) -> list[str]:
    value = match.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

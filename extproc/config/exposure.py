"""A route that anybody may call must not be reached past one that authenticates by what the client writes.

Whoever sends such a header or query parameter would choose not to be asked who they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from extproc.config.raw import Raw, anonymous, inherited, items, mapping
from extproc.core.matching import hosts_meet, methods_meet, paths_meet
from extproc.core.problems import Finding

CHOSEN: Final = ("headers", "query")  # what of a match the client writes as it likes
HINT: Final = "tell them apart by host, path or method"


def check_exposure(data: Any) -> list[Finding]:
    """One finding for each open route that is matched on what the client chooses."""
    raw = mapping(data)
    routes = list(items(raw, "routes"))
    guarded = [one for one in routes if inherited(raw, one[1], "authenticate") and not anonymous(raw, one[1])]
    return [finding for open_one in routes for finding in _exposed(raw, open_one, guarded)]


def _exposed(raw: Raw, route: tuple[int, Raw], guarded: Sequence[tuple[int, Raw]]) -> Iterator[Finding]:
    index, item = route
    match = mapping(item.get("match"))
    chosen = next((key for key in CHOSEN if mapping(match.get(key))), None)
    if chosen is None or not anonymous(raw, item) or item.get("redirect"):  # a redirect reaches no upstream
        return
    passed = next((other for other in guarded if _could_serve(other, index, match)), None)
    if passed is not None:
        name = next(iter(match[chosen]))
        what = f"the header {name}" if chosen == "headers" else f"the query parameter {name}"
        said = f"whoever sends {what} is not asked who they are, while route {passed[1].get('name')!r} asks"
        yield Finding(("routes", index, "match", chosen), said, HINT)


def _could_serve(other: tuple[int, Raw], index: int, match: Raw) -> bool:
    """Whether a request of this match could get to the other route instead. One that comes first and asks for no header
    and no parameter takes them all: none is left to choose."""
    position, route = other
    theirs = mapping(route.get("match"))
    takes_all = position < index and not any(mapping(theirs.get(key)) for key in CHOSEN)
    return not takes_all and _meet(match, theirs)


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

"""Routes by which a client could get around another route's authentication: it would only have to send a header.

Envoy's own warning: a route without a check must not be chosen by what clients write freely (envoyproxy/envoy#40236).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from extproc.core.problems import Finding, Path

Raw = Mapping[str, Any]


def check_choosable(raw: Raw) -> Iterator[Finding]:
    """A public route that is matched by headers or parameters, before a guarded one that would serve the same path."""
    routes = _served(raw)
    for index, (path, route) in enumerate(routes):
        chosen = next((key for key in ("headers", "query") if _mapping(_match(route).get(key))), None)
        if chosen is None or not _is_open(raw, route):
            continue
        for _, other in routes[index + 1 :]:
            if _is_guarded(raw, other) and _overlap(_match(route), _match(other)):
                what = "this header" if chosen == "headers" else "this parameter"
                yield Finding(
                    (*path, "match", chosen),
                    f"whoever sends {what} gets around the authentication of route {other.get('name')!r}",
                    "match by path, host and method alone, or authenticate",
                )
                break


def _served(raw: Raw) -> list[tuple[Path, Raw]]:
    """The routes that lead to an upstream, with their places; a redirect lets nobody in."""
    routes = raw.get("routes")
    each = enumerate(routes if isinstance(routes, list) else [])
    return [(("routes", i), route) for i, route in each if isinstance(route, Mapping) and not route.get("redirect")]


def _is_open(raw: Raw, route: Raw) -> bool:
    """Nobody is asked, and nothing else judges: a policy of the user's own may well be a check."""
    judged = _inherited(raw, route, "policies") or route.get("authorize")
    return bool(_inherited(raw, route, "authenticate") == "none" and not judged)


def _is_guarded(raw: Raw, route: Raw) -> bool:
    return _inherited(raw, route, "authenticate") not in (None, "none")


def _inherited(raw: Raw, route: Raw, key: str) -> Any:
    own = route.get(key)
    return own if own is not None else _mapping(raw.get("defaults")).get(key)


def _overlap(one: Raw, other: Raw) -> bool:
    """Whether some request fits both, but for headers and parameters."""
    return _hosts_overlap(one, other) and _methods_overlap(one, other) and _paths_overlap(one, other)


def _methods_overlap(one: Raw, other: Raw) -> bool:
    mine, theirs = _texts(one.get("methods")), _texts(other.get("methods"))
    return not mine or not theirs or bool(set(mine) & set(theirs))


def _hosts_overlap(one: Raw, other: Raw) -> bool:
    mine, theirs = _texts(one.get("hosts")) or ["*"], _texts(other.get("hosts")) or ["*"]
    return any(_host_covers(a, b) or _host_covers(b, a) for a in mine for b in theirs)


def _host_covers(wide: str, narrow: str) -> bool:
    return wide in ("*", narrow) or (wide.startswith("*.") and narrow.endswith(wide[1:]))


def _paths_overlap(one: Raw, other: Raw) -> bool:
    return _path_covers(one, other) or _path_covers(other, one)


def _path_covers(wide: Raw, narrow: Raw) -> bool:
    exact, prefix = wide.get("path"), wide.get("path_prefix")
    inner = str(narrow.get("path") or narrow.get("path_prefix") or "")
    if isinstance(exact, str):
        return exact == narrow.get("path")
    whole = str(prefix).rstrip("/")
    return inner.rstrip("/") == whole or inner.startswith(whole + "/")


def _match(route: Raw) -> Raw:
    return _mapping(route.get("match"))


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _mapping(value: Any) -> Raw:
    return value if isinstance(value, Mapping) else {}

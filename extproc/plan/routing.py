"""Which route serves a request: Envoy's own rules, for whoever explains a decision without an Envoy.

Envoy picks the closest domain and looks nowhere else; in it, the first route whose every condition holds
(route_components.proto: VirtualHost.domains, RouteMatch). tests/e2e holds this to the real one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from extproc.core.matching import below, covers
from extproc.core.media_type import accepts
from extproc.core.message import Request
from extproc.plan.model import FieldMatch, MatchPlan, Plan, RoutePlan, ValueRule

ANY: Final = "*"
ESCAPED_SLASH: Final = re.compile(r"%2f|%5c", re.IGNORECASE)
UNRESERVED: Final = re.compile(r"%([0-9a-fA-F]{2})")
# Envoy takes `/..;x/` for `/../`, as some servers do (RFC 3986 §3.3 leaves parameters of a segment to them).
DOTS_WITH_PARAMETERS: Final = re.compile(r"(?<=/)(\.\.?);[^/]*")
# It looks before it unescapes, so `/%2e%2e;/` is still there afterwards, for such a server to go up where we did not.
ODD_PATH: Final = r".*/\.\.?(;|%3[bB]).*"
# What no name, IPv4 or bracketed IPv6 address is: two Host lines joined by a comma, user:password@, a port that is no
# number, an empty label. Each would miss the routes of the host that an upstream may take it for.
HOST: Final = r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]"


def domains(plan: Plan) -> list[str]:
    """Every host that a route names, and any."""
    return [*sorted({host for route in plan.routes for host in route.match.hosts}), ANY]


def serves(match: MatchPlan, domain: str) -> bool:
    """Whether a route's hosts cover all that a domain (a name, `*.name` or `*`) stands for."""
    return not match.hosts or any(covers(host, domain) for host in match.hosts)


def find_route(plan: Plan, request: Request) -> RoutePlan | None:
    """The route of a request whose host and path are normal already; None is a 404."""
    domain = _closest(domains(plan), request.host)
    served = (route for route in plan.routes if serves(route.match, domain))
    return next((route for route in served if _matches(route.match, request)), None)


def normal_host(host: str) -> str:
    """Without case, port and trailing dot: strip_any_host_port and strip_trailing_host_dot of our listeners."""
    name = re.sub(r":[0-9]+$", "", host)
    return name.lower().removesuffix(".")


def normal_path(path: str) -> str:
    """Without dot segments, repeated slashes and needless escapes: normalize_path and merge_slashes of our listeners.

    An escaped slash or backslash is unescaped as well: there Envoy answers with a redirect to what is returned here.
    """
    plain = DOTS_WITH_PARAMETERS.sub(r"\1", path)
    unescaped = UNRESERVED.sub(_unescaped, ESCAPED_SLASH.sub("/", plain)).replace("\\", "/")
    kept: list[str] = []
    segments = unescaped.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    # Slashes last: a dot segment takes an empty one away as it would any other.
    return re.sub(r"/+", "/", "/" + "/".join(kept))


def is_odd(host: str, path: str) -> bool:
    """Whether our listeners answer 400 to a host and path that are normal already, whatever routes there are."""
    return re.fullmatch(HOST, host) is None or re.fullmatch(ODD_PATH, path) is not None


def _unescaped(written: re.Match[str]) -> str:
    """The characters that mean the same escaped and not (RFC 3986 §6.2.2.2); any other escape stays as it is."""
    character = chr(int(written[1], 16))
    return character if re.fullmatch(r"[A-Za-z0-9._~-]", character) else written[0]


def _closest(known: list[str], host: str) -> str:
    if host in known:
        return host
    wild = [domain for domain in known if domain.startswith("*.") and host.endswith(domain[1:])]
    return max(wild, key=len, default=ANY)


def _matches(match: MatchPlan, request: Request) -> bool:
    parameters = _parameters(request.query)
    return (
        _path_matches(match, request.path)
        and (not match.methods or request.method in match.methods)
        and all(_field_matches(field, request.headers.all) for field in match.headers)
        and all(_field_matches(field, lambda name: parameters.get(name, ())) for field in match.query)
    )


def _path_matches(match: MatchPlan, path: str) -> bool:
    if match.path is not None:
        return path == match.path
    return below(match.path_prefix or "", path)


def _field_matches(field: FieldMatch, values_of: Callable[[str], tuple[str, ...]]) -> bool:
    """Each line of a repeated field is compared on its own."""
    values = values_of(field.name)
    if field.rule is ValueRule.PRESENT:
        return bool(values)
    if field.rule is ValueRule.MEDIA_TYPE:
        return any(accepts(value, field.value) for value in values)
    if field.rule is ValueRule.PREFIX:
        return any(value.startswith(field.value) for value in values)
    return field.value in values


def _parameters(query: str) -> Mapping[str, tuple[str, ...]]:
    """As they are written: Envoy compares parameters without decoding them, and the first of a name alone."""
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        found.setdefault(name, (value,))
    return found

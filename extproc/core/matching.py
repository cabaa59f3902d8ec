"""What hosts and paths stand for in Envoy's own matching, and whether two of them share a request
(route_components.proto: VirtualHost.domains, RouteMatch)."""

from __future__ import annotations

from collections.abc import Sequence


def covers(host: str, domain: str) -> bool:
    """Whether a host of a route (a name or `*.name`) stands for all that a domain stands for."""
    return host == domain or (host.startswith("*.") and domain.endswith(host[1:]))


def below(prefix: str, path: str) -> bool:
    """Whether a path begins with a prefix: up to a slash, as `path_separated_prefix` does."""
    return path.startswith(prefix) if prefix.endswith("/") else path == prefix or path.startswith(prefix + "/")


def hosts_meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether some host is meant by both; none means any."""
    return not one or not other or any(covers(a, b) or covers(b, a) for a in one for b in other)


def paths_meet(one: str, one_is_prefix: bool, other: str, other_is_prefix: bool) -> bool:
    """Whether some path is meant by both."""
    if one_is_prefix and other_is_prefix:
        return below(one, other) or below(other, one)
    if one_is_prefix:
        return below(one, other)
    return below(other, one) if other_is_prefix else one == other


def methods_meet(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether some method is meant by both; none means any."""
    return not one or not other or not set(one).isdisjoint(other)

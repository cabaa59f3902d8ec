"""Routes as requests meet them: with the virtual host, the configuration and the connection manager around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from extproc.audit.envoy import EXT_AUTHZ, MANAGER, Envoy
from extproc.audit.node import Node

CONFIGURATION: Final = "envoy.config.route.v3.RouteConfiguration"
FILTER_CONFIG: Final = "envoy.config.route.v3.FilterConfig"


@dataclass(frozen=True, slots=True)
class Site:
    """`around` has the route first, then what it stands in; `manager` is None where the file does not say which."""

    route: Node
    host: Node
    around: tuple[Node, ...]
    manager: Node | None

    @property
    def reaches_upstream(self) -> bool:
        return self.route.get("route").written

    @property
    def chosen_by_client(self) -> Node | None:
        """What of its match a client writes freely, beside the method, host and path that say what is asked for."""
        match = self.route.get("match")
        named = (header for header in match.get("headers").each() if not header.get("name").text.startswith(":"))
        return next(iter((*named, *match.get("query_parameters").each())), None)

    def filters(self) -> Iterator[Node]:
        return self.manager.get("http_filters").each() if self.manager else iter(())

    def unchecked(self) -> Node | None:
        """Where it is said that ext_authz is not asked; None where it is, or where nobody would ask it anywhere."""
        for inner in self.filters():
            if inner.get("typed_config").kind == EXT_AUTHZ:
                return self._switched_off(inner)
        return self._switched_off(Node({"name": "envoy.filters.http.ext_authz"})) if self.manager is None else None

    def _switched_off(self, used: Node) -> Node | None:
        """The nearest word counts: the route's, its host's, the configuration's, the filter's own."""
        for level in self.around:
            own = level.get("typed_per_filter_config").get(used.get("name").text)
            if own.written:
                return _disabled(own)
        return used.get("disabled") if used.get("disabled").true else None


def _disabled(own: Node) -> Node | None:
    """A FilterConfig switches any filter off, or holds the filter's own message."""
    if own.message.get("disabled").true:
        return own.message.get("disabled")
    inner = own.message.get("config")
    return _disabled(inner) if own.kind == FILTER_CONFIG and inner.written else None


def sites(envoy: Envoy) -> Iterator[Site]:
    for manager in envoy.of(MANAGER):
        yield from _of(manager.get("route_config"), manager)
    for configuration in envoy.of(CONFIGURATION):
        yield from _of(configuration, None)


def _of(configuration: Node, manager: Node | None) -> Iterator[Site]:
    for host in configuration.get("virtual_hosts").each():
        for route in host.get("routes").each():
            yield Site(route, host, (route, host, configuration), manager)


def limits(site: Site) -> Iterator[Node]:
    """The rate limits that are written for a route (route_components.proto: RouteAction.rate_limits)."""
    own = site.route.get("route", "rate_limits")
    if own.written and own.data:
        yield own
    elif site.host.get("rate_limits").data:
        yield site.host.get("rate_limits")

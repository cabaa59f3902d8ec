"""Everything that answers Envoy about one plan: route name and revision in, what judges it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from extproc.core.chain import PolicyChain
from extproc.core.errors import UnknownRoute
from extproc.core.handover import NOTHING_MORE, Handover
from extproc.core.limits import Limit
from extproc.core.processing import UNPROCESSED, Processing
from extproc.core.specs import LIMIT


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """`shown` is what the route's ext_proc mode shows of an exchange; `handover` what the upstream is given besides the
    request; `version` is the API's that it serves; `held` is for how many seconds Envoy is asked to wait for an answer
    of our own, on routes that have one."""

    chain: PolicyChain
    shown: Processing = UNPROCESSED
    handover: Handover = NOTHING_MORE
    version: str = ""
    held: float | None = None


@dataclass(frozen=True, slots=True)
class Gateway:
    """One plan's routes, and the limits that Envoy's own ratelimit filter asks about, by (route, limit), and
    whether clients are told of them as older drafts did, too."""

    revision: str
    routes: Mapping[str, ServedRoute]
    limits: Mapping[tuple[str, str], Limit]
    legacy_headers: bool = False

    @property
    def policies(self) -> frozenset[str]:
        """The names of all that judge, and of the limits that Envoy's own filter asks about."""
        chains = [served.chain for served in self.routes.values()]
        judging = [(*chain.links, *chain.forward_links, *chain.response_links, *chain.stream_links) for chain in chains]
        return frozenset({link.name for links in judging for link in links} | {LIMIT})

    @property
    def versions(self) -> frozenset[str]:
        """The versions of the API that routes serve."""
        return frozenset({served.version for served in self.routes.values() if served.version})

    def route(self, name: str, revision: str) -> ServedRoute:
        """Raises UnknownRoute: never "no policies" for a name that this plan does not hold."""
        if revision != self.revision:
            raise self._another(revision)
        try:
            return self.routes[name]
        except KeyError:
            raise UnknownRoute(f"no route {name!r} in revision {self.revision}") from None

    def limit(self, route: str, name: str, revision: str) -> Limit:
        """Raises UnknownRoute."""
        if revision != self.revision:
            raise self._another(revision)
        try:
            return self.limits[route, name]
        except KeyError:
            raise UnknownRoute(f"no limit {name!r} on route {route!r} in revision {self.revision}") from None

    def _another(self, revision: str) -> UnknownRoute:
        return UnknownRoute(f"Envoy routes by revision {revision or '(none)'}, this sidecar holds {self.revision}")

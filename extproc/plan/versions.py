"""Config -> what each route's version is, where its successor is, and how its bodies become another version's."""

from __future__ import annotations

from collections.abc import Mapping

from extproc.config.model import Config
from extproc.config.route import Route
from extproc.config.versions import Part, VersionUse, followed
from extproc.core.lens import Lens
from extproc.core.lens_building import build
from extproc.core.specs import AdaptSpec, VersionSpec
from extproc.core.versions import ApiVersion, BrownOut, Status


class Versions:
    """Holds the versions of a file, and which route serves which."""

    def __init__(self, config: Config) -> None:
        self._routes = config.routes
        self._uses: Mapping[str, VersionUse] = {
            route.name: route.version for route in config.routes if route.version is not None
        }
        self._known = {
            name: ApiVersion(
                name,
                Status(item.status),
                item.deprecated,
                item.sunset,
                item.successor or "",
                item.documentation or "",
                item.sunset_policy or "",
                tuple(BrownOut(one.start, one.end) for one in item.brown_outs),
            )
            for name, item in config.versions.items()
        }

    def served(self, index: int) -> VersionSpec | None:
        route = self._routes[index]
        if route.version is None:
            return None
        version = self._known[route.version.is_]
        return VersionSpec(version, route.version.successor or self._successor_at(route, version))

    def adapted(self, index: int) -> AdaptSpec | None:
        route = self._routes[index]
        use = route.version
        if use is None or use.adapt_to is None:
            return None
        uses = followed(use, self._uses)
        return AdaptSpec(
            use.is_, uses[-1].adapt_to or "", _lens(uses, "request"), _lens(uses, "response"), route.stream
        )

    def _successor_at(self, route: Route, version: ApiVersion) -> str:
        """The same path but for the version's name, where a route of the successor serves just that."""
        path = route.match.path or route.match.path_prefix or ""
        segments = [version.successor if part == version.name else part for part in path.split("/")]
        other = "/".join(segments)
        serving = (
            one
            for one in self._routes
            if one.version is not None
            and one.version.is_ == version.successor
            and other in (one.match.path, one.match.path_prefix)
        )
        return other if version.successor and other != path and next(serving, None) else ""


def _lens(uses: list[VersionUse], part: Part) -> Lens:
    return build([change for use in uses for change, _ in use.changes(part)])

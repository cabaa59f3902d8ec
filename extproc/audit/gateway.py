"""A gateway file as rules see it: raw data, so that a key is judged by what was written and not by who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from extproc.audit.node import Node

NOBODY: Final = "none"


@dataclass(frozen=True, slots=True)
class Gateway:
    root: Node

    def routes(self) -> Iterator[Node]:
        """Those that lead to an upstream; a redirect gives nothing away."""
        return (route for route in self.root.get("routes").each() if not route.get("redirect").written)

    def listeners(self) -> Iterator[Node]:
        return self.root.get("listeners").each()

    def upstreams(self) -> Iterator[Node]:
        return (upstream for _, upstream in self.root.get("upstreams").members())

    def methods(self) -> Iterator[tuple[str, Node]]:
        """Each method of authentication: its kind, and its settings."""
        for _, method in self.root.get("authentication").members():
            yield from method.members()

    def inherited(self, route: Node, key: str) -> Node:
        """A route's own value, or that of the defaults; where nobody wrote it, the route's place for it."""
        own, default = route.get(key), self.root.get("defaults", key)
        return own if own.written or not default.written else default

    def is_public(self, route: Node) -> bool:
        return self.inherited(route, "authenticate").text == NOBODY

    def is_limited(self, route: Node) -> bool:
        return bool(self.inherited(route, "limits").data)


class FromEnvironment(str):
    """A text that a variable stood in: it is not written in the file."""

    __slots__ = ()

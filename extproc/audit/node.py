"""One value of a file with its path: reading never fails, for a file of somebody else's may hold anything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.core.problems import Path

DURATION: Final = re.compile(r"(?P<number>-?[0-9]+(\.[0-9]+)?)s")
TRUE: Final = frozenset({"true", "yes", "y", "on"})  # what Envoy's reader of YAML takes for a boolean too
TYPE: Final = "@type"
WRAPPED: Final = frozenset({"xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"})


@dataclass(frozen=True, slots=True)
class Node:
    """`data` is None where nothing was written."""

    data: Any = None
    path: Path = field(default=())

    def get(self, *names: str) -> Node:
        """What is below, by the names of fields, each of which may be spelled `snake_case` or `lowerCamelCase`."""
        node = self
        for name in names:
            inside = node.data if isinstance(node.data, dict) else {}
            written = name if name in inside else _camel(name)
            found = written if written in inside else name
            node = Node(inside.get(found), (*node.path, found))
        return node

    def each(self) -> Iterator[Node]:
        for index, item in enumerate(self.data if isinstance(self.data, list) else []):
            yield Node(item, (*self.path, index))

    def members(self) -> Iterator[tuple[str, Node]]:
        for name, item in (self.data if isinstance(self.data, dict) else {}).items():
            yield name, Node(item, (*self.path, name))

    def inside(self) -> Iterator[Node]:
        """This and all that is in it, outer before inner."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed([*node.each(), *(item for _, item in node.members())])

    @property
    def written(self) -> bool:
        return self.data is not None

    @property
    def text(self) -> str:
        return str(self.data) if isinstance(self.data, str | int) and not isinstance(self.data, bool) else ""

    @property
    def true(self) -> bool:
        return self.data is True or (isinstance(self.data, str) and self.data.lower() in TRUE)

    @property
    def number(self) -> float | None:
        if isinstance(self.data, bool):
            return None
        try:
            return float(self.data) if isinstance(self.data, int | float | str) else None
        except (ValueError, OverflowError):
            return None

    @property
    def seconds(self) -> float | None:
        """A duration as proto3's JSON spells it."""
        found = DURATION.fullmatch(self.text)
        return float(found["number"]) if found else None

    @property
    def kind(self) -> str:
        """The name of the message behind a `@type`, be it wrapped in a TypedStruct."""
        named = self.get(TYPE).text.rpartition("/")[2]
        return self.get("type_url").text.rpartition("/")[2] if named in WRAPPED else named

    @property
    def message(self) -> Node:
        """The fields of what has a `@type`."""
        return self.get("value") if self.get(TYPE).text.rpartition("/")[2] in WRAPPED else self


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)

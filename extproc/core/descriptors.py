"""envoyproxy/ratelimit's rules for which limit a descriptor meets.

A domain is a tree. One level is walked per entry: by key and value, else by the first wildcard in the file's order,
else by the key alone. The limit is the one of the node that the last entry reaches, so a request that stops earlier or
goes on meets none.

There, keys and values are joined by `_` before they are compared, and a client's value could reach a key's other half.
Here they are compared one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from extproc.core.windows import Unit

Entry = tuple[str, str]
ANY: Final = "*"  # in a key or value: any characters, also none


@dataclass(frozen=True, slots=True)
class DescriptorLimit:
    """At most `count` in each `unit`; without one, unlimited. `path` is how it is called in its file, for people."""

    count: int
    unit: Unit | None
    path: str = ""
    name: str = ""
    replaces: tuple[str, ...] = ()
    shadow: bool = False
    quota: bool = False
    detailed: bool = False
    metadata: Mapping[str, object] | None = None


class Step(NamedTuple):
    """A node, and the value that a counter and a metric have for the entry that led to it."""

    node: Node
    counted: str
    told: str


@dataclass(slots=True)
class Node:
    """One descriptor of a file, or the root of a domain. Made when a file is loaded, and only read from then on."""

    key: str = ""
    value: str = ""
    limit: DescriptorLimit | None = None
    shared: bool = False
    value_told: bool = False
    children: dict[Entry, Node] = field(default_factory=dict)
    wildcards: list[Node] = field(default_factory=list)
    _keys: tuple[str, ...] = field(init=False, repr=False)
    _values: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._keys = tuple(self.key.split(ANY))
        self._values = tuple((self.value or ANY).split(ANY))

    def add(self, child: Node) -> None:
        self.children[child.key, child.value] = child
        if ANY in child.key or ANY in child.value:
            self.wildcards.append(child)

    def step(self, key: str, value: str) -> Step | None:
        node = self.children.get((key, value)) if value else None
        if node is not None:
            return Step(node, node.pattern if node.shared else value, value)
        node = next((one for one in self.wildcards if one.fits(key, value)), None)
        if node is not None:
            told = value if node.value_told and not node.shared else node.pattern
            return Step(node, node.pattern if node.shared else value, told)
        node = self.children.get((key, ""))
        return None if node is None else Step(node, value, value if node.value_told else "")

    @property
    def pattern(self) -> str:
        return self.value or self.key

    def fits(self, key: str, value: str) -> bool:
        return matches(self._keys, key) and matches(self._values, value)


def limits_of(root: Node) -> Iterator[DescriptorLimit]:
    """All of a domain, in the order of its files."""
    if root.limit is not None:
        yield root.limit
    for child in root.children.values():
        yield from limits_of(child)


class Found(NamedTuple):
    """A limit, whom it counts, and what it is called in the metrics."""

    limit: DescriptorLimit
    subject: tuple[str, ...]
    told: str


def find(root: Node, domain: str, entries: Sequence[Entry]) -> Found | None:
    node, steps = root, list[Step]()
    for key, value in entries:
        step = node.step(key, value)
        if step is None:
            return None
        steps.append(step)
        node = step.node
    if not steps or node.limit is None:
        return None
    subject = tuple(part for (key, _), step in zip(entries, steps, strict=True) for part in (key, step.counted))
    return Found(node.limit, subject, _told(domain, entries, steps, detailed=node.limit.detailed))


def _told(domain: str, entries: Sequence[Entry], steps: Sequence[Step], *, detailed: bool) -> str:
    shared = any(step.node.shared for step in steps)
    parts = [domain]
    for (key, value), step in zip(entries, steps, strict=True):
        if not detailed:
            parts.append(joined(key, step.told))
        elif shared:
            parts.append(joined(key, step.counted))
        else:
            parts.append(f"{key}_{value}")
    return ".".join(parts)


def joined(key: str, value: str) -> str:
    return f"{key}_{value}" if value else key


def spelled(domain: str, entries: Sequence[Entry]) -> str:
    """How the metrics call a limit that the request itself brought along."""
    return ".".join([domain, ".".join(joined(key, value) for key, value in entries)])


def matches(parts: tuple[str, ...], text: str) -> bool:
    """Whether the text is these parts in their order, with something or nothing between them; it begins with the first
    and ends with the last."""
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return first == text
    at, end = len(first), len(text) - len(last)
    if end < at or not text.startswith(first) or not text.endswith(last):
        return False
    for part in parts[1:-1]:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True

"""The ways in which most rules look: a kind of place, and what is weak about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from extproc.audit.envoy import Envoy
from extproc.audit.node import Node

Weak = Callable[[Node], Iterable[Node]]
Find = Callable[[Envoy], Iterator[Node]]


def of(kind: str, weak: Weak) -> Find:
    """In every message of a kind, wherever it stands."""
    return lambda envoy: (found for node in envoy.of(kind) for found in weak(node))


def unless_true(*path: str) -> Weak:
    return lambda node: () if node.get(*path).true else (node.get(*path),)


def if_true(*path: str) -> Weak:
    return lambda node: (node.get(*path),) if node.get(*path).true else ()


def unless_written(*path: str) -> Weak:
    return lambda node: () if node.get(*path).written else (node.get(*path),)


def if_written(*path: str) -> Weak:
    return lambda node: (node.get(*path),) if node.get(*path).written else ()


def unless_one_of(*path: str, values: Iterable[str]) -> Weak:
    """`values` hold the names of an enumeration, and the numbers that may stand for them."""
    good = frozenset(values)
    return lambda node: () if node.get(*path).text in good else (node.get(*path),)


def if_one_of(*path: str, values: Iterable[str]) -> Weak:
    bad = frozenset(values)
    return lambda node: (node.get(*path),) if node.get(*path).text in bad else ()


def unless_timed(*path: str) -> Weak:
    """A time that is neither left out nor zero, where either means for ever."""
    return lambda node: () if node.get(*path).seconds else (node.get(*path),)


def if_for_ever(*path: str) -> Weak:
    """A time that is written as zero."""
    return lambda node: (node.get(*path),) if node.get(*path).seconds == 0 else ()


def if_over(*path: str, limit: float) -> Weak:
    return lambda node: (node.get(*path),) if (node.get(*path).number or 0) > limit else ()


def unless_within(*path: str, limit: float) -> Weak:
    """A number that is neither left out nor larger."""
    return lambda node: () if 0 < (node.get(*path).number or 0) <= limit else (node.get(*path),)


def in_each(*path: str, weak: Weak) -> Weak:
    """In every member of a list, or of a mapping by names."""

    def found(node: Node) -> Iterator[Node]:
        inner = node.get(*path)
        for item in (*inner.each(), *(member for _, member in inner.members())):
            yield from weak(item)

    return found


def any_of(*weak: Weak) -> Weak:
    return lambda node: (found for one in weak for found in one(node))

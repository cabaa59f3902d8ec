"""What a document of one API version is in the words of another, there and back.

A lens is a list of steps, each with its inverse, so the way back is the inverses in the opposite order. What the other
version has no word for is remembered (`Memory`) and comes back: with the same memory, the way there and back changes
nothing. A lens changes the document that it is given.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from extproc.core.conversions import Conversion
from extproc.core.errors import ExtprocError

ROOT: Final = "."
ABSENT: Final = object()
Path = tuple[str, ...]  # the names of members, from the document down


class NotAdaptable(ExtprocError):
    """A document that is none of the version that it is said to be. Tells where and why, never a value."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"at {spell(path)}: {why}")


@dataclass(slots=True)
class Memory:
    """What the other version has no word for, of one exchange: by the step that took it away, and its place."""

    kept: dict[tuple[int, str, Path], Any] = field(default_factory=dict, repr=False)
    _inside: dict[tuple[int, int], Memory] = field(default_factory=dict, repr=False)

    def inside(self, key: int, index: int) -> Memory:
        """That of one item of a list."""
        return self._inside.setdefault((key, index), Memory())


class Step(Protocol):
    """`key` is its number in the lens, which its inverse has as well."""

    @property
    def key(self) -> int: ...

    def apply(self, document: Any, memory: Memory) -> Any:
        """Raises NotAdaptable."""

    def inverse(self) -> Step: ...


@dataclass(frozen=True, slots=True)
class Lens:
    steps: tuple[Step, ...] = ()

    def forward(self, document: Any, memory: Memory) -> Any:
        """Raises NotAdaptable."""
        for step in self.steps:
            document = step.apply(document, memory)
        return document

    def inverse(self) -> Lens:
        return Lens(tuple(step.inverse() for step in reversed(self.steps)))


@dataclass(frozen=True, slots=True)
class Move:
    """From `source` to `target`. What stands at the target already is no word of this version: it is remembered."""

    key: int
    source: Path
    target: Path

    def apply(self, document: Any, memory: Memory) -> Any:
        if not isinstance(document, dict):
            return document
        value = _taken(document, self.source, self.key, memory)
        self._hide(document, memory, on_the_way=value is not ABSENT)
        if value is not ABSENT:
            _put(document, self.target, value, self.key, memory)
        self._restore(document, memory)
        return document

    def inverse(self) -> Move:
        return Move(self.key, self.target, self.source)

    def _hide(self, document: dict[str, Any], memory: Memory, *, on_the_way: bool) -> None:
        parent = document
        for length, name in enumerate(self.target, 1):
            if name not in parent:
                return
            last = length == len(self.target)
            if last or (on_the_way and not isinstance(parent[name], dict)):
                memory.kept[self.key, "hidden", self.target[:length]] = parent.pop(name)
                return
            if not isinstance(parent[name], dict):
                return
            parent = parent[name]

    def _restore(self, document: dict[str, Any], memory: Memory) -> None:
        """What the way there hid, where the value now leaves its place."""
        for length in range(1, len(self.source) + 1):
            path = self.source[:length]
            hidden = memory.kept.pop((self.key, "hidden", path), ABSENT)
            if hidden is not ABSENT and _is_free(document, path):
                _put(document, path, hidden, self.key, memory)


@dataclass(frozen=True, slots=True)
class Add:
    """A member that this version does not have: it gets the value. One that is there all the same stays."""

    key: int
    path: Path
    value: Any = field(repr=False)

    def apply(self, document: Any, memory: Memory) -> Any:
        parent, name = _at(document, self.path[:-1]), self.path[-1]
        if not isinstance(parent, dict):
            return document
        value = memory.kept.pop((self.key, "dropped", self.path), self.value)
        if name in parent:
            memory.kept[self.key, "stays", self.path] = True
        elif value is not ABSENT:
            parent[name] = copy.deepcopy(value)
        return document

    def inverse(self) -> Drop:
        return Drop(self.key, self.path, self.value)


@dataclass(frozen=True, slots=True)
class Drop:
    """A member that the other version does not have. On the way back it is what it was, else the value."""

    key: int
    path: Path
    value: Any = field(repr=False)

    def apply(self, document: Any, memory: Memory) -> Any:
        parent, name = _at(document, self.path[:-1]), self.path[-1]
        if isinstance(parent, dict) and not memory.kept.pop((self.key, "stays", self.path), False):
            memory.kept[self.key, "dropped", self.path] = parent.pop(name, ABSENT)
        return document

    def inverse(self) -> Add:
        return Add(self.key, self.path, self.value)


@dataclass(frozen=True, slots=True)
class Wrap:
    """The value becomes an object's one member."""

    key: int
    path: Path
    name: str

    def apply(self, document: Any, memory: Memory) -> Any:
        value = _at(document, self.path)
        nothing = memory.kept.pop((self.key, "nothing", self.path), False)
        if value is ABSENT or (value is None and nothing):
            return document
        beside = memory.kept.pop((self.key, "beside", self.path), {})
        return _replaced(document, self.path, {self.name: value, **beside})

    def inverse(self) -> Unwrap:
        return Unwrap(self.key, self.path, self.name)


@dataclass(frozen=True, slots=True)
class Unwrap:
    """The object's member takes its place. Other members are remembered."""

    key: int
    path: Path
    name: str

    def apply(self, document: Any, memory: Memory) -> Any:
        value = _at(document, self.path)
        if value is ABSENT:
            return document
        if value is None:
            memory.kept[self.key, "nothing", self.path] = True
            return document
        if not isinstance(value, dict) or self.name not in value:
            raise NotAdaptable(self.path, f"not an object with {self.name}")
        inner = value.pop(self.name)
        if value:
            memory.kept[self.key, "beside", self.path] = value
        return _replaced(document, self.path, inner)

    def inverse(self) -> Wrap:
        return Wrap(self.key, self.path, self.name)


@dataclass(frozen=True, slots=True)
class Convert:
    """The value in the other version's way of writing it; null is null in both."""

    key: int
    path: Path
    conversion: Conversion

    def apply(self, document: Any, memory: Memory) -> Any:
        value = _at(document, self.path)
        if value is ABSENT or value is None:
            return document
        try:
            converted = self.conversion.forward(value)
        except ValueError as error:
            raise NotAdaptable(self.path, str(error)) from None
        return _replaced(document, self.path, converted)

    def inverse(self) -> Convert:
        return Convert(self.key, self.path, self.conversion.inverse())


@dataclass(frozen=True, slots=True)
class Each:
    """A lens for each item of a list."""

    key: int
    path: Path
    lens: Lens

    def apply(self, document: Any, memory: Memory) -> Any:
        items = _at(document, self.path)
        if items is ABSENT or items is None:
            return document
        if not isinstance(items, list):
            raise NotAdaptable(self.path, "not a list")
        for index, item in enumerate(items):
            items[index] = self.lens.forward(item, memory.inside(self.key, index))
        return document

    def inverse(self) -> Each:
        return Each(self.key, self.path, self.lens.inverse())


def spell(path: Sequence[str]) -> str:
    return ".".join(path) or "the whole document"


def _at(document: Any, path: Path) -> Any:
    for name in path:
        if not isinstance(document, dict) or name not in document:
            return ABSENT
        document = document[name]
    return document


def _is_free(document: Any, path: Path) -> bool:
    """Whether nothing stands there, or in the way."""
    for name in path:
        if not isinstance(document, dict):
            return False
        if name not in document:
            return True
        document = document[name]
    return False


def _replaced(document: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    _at(document, path[:-1])[path[-1]] = value
    return document


def _taken(document: dict[str, Any], path: Path, key: int, memory: Memory) -> Any:
    """The value, or ABSENT. Objects that are empty then go with it, but for those that stood empty before."""
    parents = [document]
    for name in path[:-1]:
        if not isinstance(parents[-1].get(name), dict):
            return ABSENT
        parents.append(parents[-1][name])
    value = parents[-1].pop(path[-1], ABSENT)
    if value is ABSENT:
        return ABSENT
    for depth in range(len(parents) - 1, 0, -1):
        if parents[depth] or memory.kept.pop((key, "empty", path[:depth]), False):
            break
        del parents[depth - 1][path[depth - 1]]
    return value


def _put(document: dict[str, Any], path: Path, value: Any, key: int, memory: Memory) -> None:
    for depth, name in enumerate(path[:-1], 1):
        if name in document and not document[name]:
            memory.kept[key, "empty", path[:depth]] = True
        document = document.setdefault(name, {})
    document[path[-1]] = value

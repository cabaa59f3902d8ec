"""What an operator wrote -> a lens. Whatever could not be undone is refused here, with the change that it is about.

Paths are names with dots between; `items[]` stands for each item of a list, `.` for the whole document. A path means
the document as the changes before have left it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.core.conversions import CONVERSIONS, Conversion, table
from extproc.core.lens import ROOT, Add, Convert, Drop, Each, Lens, Move, Path, Step, Unwrap, Wrap

ITEM: Final = "[]"
MEMBER: Final = r"[^.\[\]\s]{1,128}"
PATH: Final = re.compile(rf"\.|(?:\[\])*|(?:(?:\[\])+\.)?{MEMBER}(?:\[\])*(?:\.{MEMBER}(?:\[\])*)*")
MAX_CHANGES: Final = 256  # of one lens, all versions together: each is a walk through every document


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is different in the next version: what happens, where, and to what."""

    kind: str
    path: str
    argument: Any = field(repr=False)


class NotInvertible(ValueError):
    """A change that could not be undone, by its place in the list."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index


def build(changes: Sequence[Change]) -> Lens:
    """Raises NotInvertible."""
    if len(changes) > MAX_CHANGES:
        raise NotInvertible(MAX_CHANGES, f"at most {MAX_CHANGES} changes")
    known = _Known()
    steps = []
    for index, change in enumerate(changes):
        try:
            steps.append(_BUILDERS[change.kind](index, change, known))
        except ValueError as error:
            raise NotInvertible(index, str(error)) from None
    return Lens(tuple(steps))


def read_path(text: str) -> Path:
    """`items[].name` -> items, [], name. Raises ValueError."""
    if not text or not PATH.fullmatch(text):
        raise ValueError(f"{text!r} is no path: write name, address.city, items[].name, or . for the whole document")
    parts = () if text == ROOT else re.findall(rf"\[\]|{MEMBER}", text)
    return tuple(parts)


@dataclass(slots=True)
class _Known:
    """Which places the changes so far have filled (`taken`) and left (`gone`), each as a path with its `[]`."""

    taken: set[Path] = field(default_factory=set)
    gone: set[Path] = field(default_factory=set)

    def need(self, path: Path) -> None:
        """Whether something can still be there."""
        if any(_begins(path, one) or _begins(one, path) for one in self.taken):
            return
        if any(_begins(path, one) for one in self.gone):
            raise ValueError(f"nothing is at {_spell(path)} any more: a change before this one took it away")

    def leave(self, path: Path) -> None:
        self.taken = {one for one in self.taken if not _begins(one, path)}
        self.gone.add(path)

    def fill(self, path: Path) -> None:
        if any(_begins(one, path) for one in self.taken):
            raise ValueError(f"{_spell(path)} is there already, and the way back could not tell the two apart")
        self.gone.discard(path)
        self.taken.add(path)

    def forget_beside(self, path: Path, name: str) -> None:
        """What stood at and below `path`, but for the member of that name."""
        beside = {one for one in self.taken | self.gone if _begins(one, path) and not _begins(one, (*path, name))}
        self.taken -= beside
        self.gone -= beside

    def rebase(self, before: Path, after: Path) -> None:
        """What stood at and below `before` now stands at and below `after`."""
        self.taken = {_moved(one, before, after) for one in self.taken}
        self.gone = {_moved(one, before, after) for one in self.gone}


def _begins(path: Path, prefix: Path) -> bool:
    return path[: len(prefix)] == prefix


def _moved(path: Path, before: Path, after: Path) -> Path:
    return (*after, *path[len(before) :]) if _begins(path, before) else path


def _spell(path: Path) -> str:
    return ".".join(path).replace(f".{ITEM}", ITEM) or "the whole document"


def _move(key: int, change: Change, known: _Known) -> Step:
    source, target = read_path(change.path), read_path(str(change.argument))
    lists, inner = _inner(source)
    others, inner_target = _inner(target)
    if not inner or not inner_target:
        raise ValueError("a member is moved, neither an item of a list nor the whole document")
    if lists != others:
        raise ValueError(f"{_spell(target)} is not in the same list as {_spell(source)}")
    if _begins(source, target) or _begins(target, source):
        raise ValueError(f"{_spell(source)} and {_spell(target)} overlap")
    known.need(source)
    below = {one for one in known.taken if _begins(one, source)}
    known.leave(source)
    known.fill(target)
    known.taken |= {_moved(one, source, target) for one in below}
    return _in_lists(key, lists, Move(key, inner, inner_target))


def _rename(key: int, change: Change, known: _Known) -> Step:
    """The member gets another name and stays where it is."""
    source = read_path(change.path)
    if not re.fullmatch(MEMBER, str(change.argument)):
        raise ValueError(f"{change.argument!r} is no name of a member; `move` takes a path")
    target = ".".join((*source[:-1], str(change.argument))).replace(f".{ITEM}", ITEM)
    return _move(key, Change("move", change.path, target), known)


def _add(key: int, change: Change, known: _Known) -> Step:
    path, lists, inner = _member(change)
    if path[:-1]:
        known.need(path[:-1])
    known.fill(path)
    return _in_lists(key, lists, Add(key, inner, change.argument))


def _drop(key: int, change: Change, known: _Known) -> Step:
    path, lists, inner = _member(change)
    known.need(path)
    known.leave(path)
    return _in_lists(key, lists, Drop(key, inner, change.argument))


def _wrap(key: int, change: Change, known: _Known) -> Step:
    path, name = read_path(change.path), _name(change)
    known.need(path)
    known.rebase(path, (*path, name))
    known.gone.add(path)
    known.taken.add((*path, name))
    lists, inner = _inner(path)
    return _in_lists(key, lists, Wrap(key, inner, name))


def _unwrap(key: int, change: Change, known: _Known) -> Step:
    path, name = read_path(change.path), _name(change)
    known.need((*path, name))
    known.forget_beside(path, name)
    known.rebase((*path, name), path)
    known.taken.add(path)
    lists, inner = _inner(path)
    return _in_lists(key, lists, Unwrap(key, inner, name))


def _convert(key: int, change: Change, known: _Known) -> Step:
    path = read_path(change.path)
    known.need(path)
    known.taken.add(path)
    lists, inner = _inner(path)
    return _in_lists(key, lists, Convert(key, inner, _conversion(change.argument)))


def _conversion(written: object) -> Conversion:
    if isinstance(written, Mapping):
        return table({str(before): str(after) for before, after in written.items()})
    if written not in CONVERSIONS:
        raise ValueError(f"there is no conversion {written!r}: write one of {', '.join(CONVERSIONS)}, or a table")
    return CONVERSIONS[str(written)]


def _member(change: Change) -> tuple[Path, tuple[Path, ...], Path]:
    path = read_path(change.path)
    lists, inner = _inner(path)
    if not inner:
        raise ValueError("a member comes or goes, neither an item of a list nor the whole document")
    return path, lists, inner


def _name(change: Change) -> str:
    if not re.fullmatch(MEMBER, str(change.argument)):
        raise ValueError(f"{change.argument!r} is no name of a member")
    return str(change.argument)


def _inner(path: Path) -> tuple[tuple[Path, ...], Path]:
    """The lists on the way, each by its path in the item before it, and the rest."""
    lists: list[Path] = []
    rest: Path = ()
    for part in path:
        if part == ITEM:
            lists.append(rest)
            rest = ()
        else:
            rest = (*rest, part)
    return tuple(lists), rest


def _in_lists(key: int, lists: Sequence[Path], step: Step) -> Step:
    for path in reversed(lists):
        step = Each(key, path, Lens((step,)))
    return step


_BUILDERS: Final[Mapping[str, Callable[[int, Change, _Known], Step]]] = {
    "rename": _rename, "move": _move, "default": _add, "drop": _drop,
    "wrap": _wrap, "unwrap": _unwrap, "convert": _convert,
}  # fmt: skip

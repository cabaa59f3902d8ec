"""Whether a lens brings back what it changed: tried with documents that are made for it, the same ones each time."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.core.lens import Convert, Drop, Each, Lens, Memory, Move, NotAdaptable, Path, Step, Unwrap, Wrap

DOCUMENTS: Final = 200  # in each direction: a lens of ten changes takes some 20 ms
LONGEST_LIST: Final = 3
ANYTHING: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    1.5,
    "",
    "text",
    [],
    {},
    [1, "two"],
    {"inner": 1},
    {"inner": {"deep": None}},
)
LIKELY, SELDOM, RARE = 0.75, 0.25, 0.1


@dataclass(slots=True)
class Shape:
    """What a document must be for a lens to take it. Where nothing is said, anything will do."""

    members: dict[str, Shape] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    items: Shape | None = None
    samples: tuple[Any, ...] = ()


def disproof(lens: Lens) -> str:
    """A document that does not survive the way there and back, in either direction; empty where none was found."""
    return _lost(lens, "there and back") or _lost(lens.inverse(), "back and there")


def _lost(lens: Lens, way: str) -> str:
    inverse, shape = lens.inverse(), Shape()
    for step in reversed(lens.steps):
        _pull_back(step, shape)
    chance, names = random.Random(0), sorted(_names(lens.steps))  # noqa: S311 - the same documents each time
    found = [said for _ in range(DOCUMENTS) if (said := _tried(lens, inverse, _document(shape, chance, names), way))]
    return min(found, key=len, default="")


def _tried(lens: Lens, inverse: Lens, document: Any, way: str) -> str:
    memory, there = Memory(), copy.deepcopy(document)
    try:
        there = lens.forward(there, memory)
        back = inverse.forward(copy.deepcopy(there), memory)
    except NotAdaptable as error:
        return f"{json.dumps(document)} cannot go {way}: {error}"
    return "" if alike(document, back) else f"{json.dumps(document)} comes {way} as {json.dumps(back)}"


def alike(one: Any, other: Any) -> bool:
    """As JSON: true is not 1, and the order of members means nothing."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _pull_back(step: Step, shape: Shape) -> None:
    """From what a document must be after the step to what it must be before it."""
    if isinstance(step, Move):
        moved = _take(shape, step.target)
        _put(shape, step.source, moved or Shape())
    elif isinstance(step, Drop):
        _put(shape, step.path, Shape())
    elif isinstance(step, Wrap):
        _become(_at(shape, step.path), _at(shape, (*step.path, step.name)))
    elif isinstance(step, Unwrap):
        place = _at(shape, step.path)
        inner = Shape(place.members, place.required, place.items, place.samples)
        _become(place, Shape({step.name: inner}, {step.name}))
    elif isinstance(step, Convert):
        place = _at(shape, step.path)
        _become(place, Shape(samples=_samples(step, place.samples)))
    elif isinstance(step, Each):
        place = _at(shape, step.path)
        items = place.items or Shape()
        for inner_step in reversed(step.lens.steps):
            _pull_back(inner_step, items)
        _become(place, Shape(items=items))


def _samples(step: Convert, wanted: Sequence[Any]) -> tuple[Any, ...]:
    """Those that a conversion behind this one takes too, where there is one."""
    before = []
    for sample in wanted:
        try:
            before.append(step.conversion.backward(sample))
        except ValueError:
            continue
    return tuple(before) or step.conversion.samples


def _become(place: Shape, shape: Shape) -> None:
    place.members, place.required, place.items, place.samples = (
        shape.members, shape.required, shape.items, shape.samples,
    )  # fmt: skip


def _at(shape: Shape, path: Path) -> Shape:
    for name in path:
        shape = shape.members.setdefault(name, Shape())
    return shape


def _put(shape: Shape, path: Path, inner: Shape) -> None:
    _at(shape, path[:-1]).members[path[-1]] = inner


def _take(shape: Shape, path: Path) -> Shape | None:
    for name in path[:-1]:
        if name not in shape.members:
            return None
        shape = shape.members[name]
    return shape.members.pop(path[-1], None)


def _names(steps: Iterable[Step]) -> set[str]:
    """Every name that some step knows: documents with one in an unexpected place are the hard ones."""
    found: set[str] = {"other"}
    for step in steps:
        if isinstance(step, Each):
            found |= {*step.path, *_names(step.lens.steps)}
        elif isinstance(step, Move):
            found |= {*step.source, *step.target}
        else:
            found |= {*getattr(step, "path", ()), *([step.name] if isinstance(step, Wrap | Unwrap) else [])}
    return found


def _document(shape: Shape, chance: random.Random, names: Sequence[str], *, outermost: bool = True) -> Any:
    if not outermost and chance.random() < RARE:
        return None
    if shape.samples:
        return copy.deepcopy(chance.choice(shape.samples))
    if shape.items is not None:
        count = chance.randrange(LONGEST_LIST + 1)
        return [_document(shape.items, chance, names, outermost=False) for _ in range(count)]
    if not shape.members and not outermost:
        return copy.deepcopy(chance.choice(ANYTHING))
    made = {name: copy.deepcopy(chance.choice(ANYTHING)) for name in names if chance.random() < SELDOM}
    for name, inner in shape.members.items():
        made.pop(name, None)
        if name in shape.required or chance.random() < LIKELY:
            made[name] = _document(inner, chance, names, outermost=False)
    return made

"""Places in a JSON document: `a.b`, `items[0].name`, `items[].price` for those of every item."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

NAME: Final = r"[^.\s\[\]]+"
PATTERN: Final = rf"^(?:{NAME}|\[[0-9]{{0,4}}\])(?:\[[0-9]{{0,4}}\])*(?:\.{NAME}(?:\[[0-9]{{0,4}}\])*)*$"
NOT_A_PATH: Final = "not a path: names with dots between, as a.b; behind a name [0] for one item, [] for all"
STEP: Final = re.compile(rf"({NAME})|\[([0-9]*)\]")
Path = tuple["str | int | None", ...]  # a member's name, an item's number, None for every item
Holder = "dict[str, Any] | list[Any]"


def parse_path(text: str) -> Path:
    """Raises ValueError."""
    if not re.fullmatch(PATTERN, text):
        raise ValueError(NOT_A_PATH)
    return tuple(_step(found) for found in STEP.finditer(text))


def _step(found: re.Match[str]) -> str | int | None:
    if found[1] is not None:
        return found[1]
    return int(found[2]) if found[2] else None


def places(document: Any, path: Path, *, make: bool = False) -> Iterator[tuple[Any, str | int]]:
    """Who holds what the path names, and under which name or number. With `make`, objects on the way are made, and
    what is no object there is replaced."""
    *way, last = path
    holders = [document]
    for step, next_step in zip(way, path[1:], strict=True):
        made = make and isinstance(next_step, str)
        holders = [found for holder in holders for found in _below(holder, step, make=made)]
    for holder in holders:
        if last is None:
            yield from ((holder, index) for index in range(len(holder)) if isinstance(holder, list))
        elif _can_hold(holder, last):
            yield holder, last


def _below(holder: Any, step: str | int | None, *, make: bool) -> list[Any]:
    if step is None:
        return list(holder) if isinstance(holder, list) else []
    if isinstance(step, int):
        return [holder[step]] if _can_hold(holder, step) else []
    if not isinstance(holder, dict):
        return []
    if make and not isinstance(holder.get(step), dict):
        holder[step] = {}
    return [holder[step]] if step in holder else []


def _can_hold(holder: Any, step: str | int) -> bool:
    if isinstance(step, int):
        return isinstance(holder, list) and step < len(holder)
    return isinstance(holder, dict)


def is_there(holder: Any, step: str | int) -> bool:
    return isinstance(step, int) or step in holder


def twins(document: Any, path: Path) -> Iterator[str]:
    """Names that differ from those of the path in nothing but their case: some readers take one for the other."""
    holders = [document]
    for step in path:
        if isinstance(step, str):
            for holder in holders:
                yield from _twins(holder, step)
        holders = [found for holder in holders for found in _below(holder, step, make=False)]


def _twins(holder: Any, step: str) -> Iterator[str]:
    if isinstance(holder, dict):
        folded = step.casefold()
        yield from (name for name in holder if name != step and name.casefold() == folded)


def change(document: Any, path: Path, changed: Callable[[Any], Any]) -> None:
    for holder, step in list(places(document, path)):
        if is_there(holder, step):
            holder[step] = changed(holder[step])

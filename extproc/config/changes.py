"""`tiers.free.rate=20/s`: a change of a gateway file that is written nowhere in it. What it sets is YAML."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from extproc.config.source import Source, Substitute, parse
from extproc.core.problems import Finding, Path, spell_path

# A name after a dot; in brackets, a place in a list, or a name that has dots itself.
STEP: Final = re.compile(r"""(?:^|(?!^)\.)([^.\[\]='"]+)|\[(?:([0-9]{1,4})|'([^']+)'|"([^"]+)")\]""")
WRITE: Final = "write a path and a value, as tiers.free.rate=20/s"


@dataclass(frozen=True, slots=True)
class Change:
    """`text` as it was given, without a value that may be a secret; `value` is still YAML."""

    text: str
    path: Path
    value: str


def parse_change(text: str) -> Change:
    """Raises ValueError for what names no place in a file."""
    path: list[str | int] = []
    end = 0
    while found := STEP.match(text, end):
        path.append(int(found[2]) if found[2] else found[1] or found[3] or found[4])
        end = found.end()
    value = text[end + 1 :].strip()
    if not path or isinstance(path[0], int) or text[end : end + 1] != "=" or not value:
        raise ValueError(f"{text!r} is no change: {WRITE}")
    return Change(text[:end], tuple(path), value)


def apply(change: Change, source: Source, substitute: Substitute) -> list[Finding]:
    """Sets the value as if it stood in the file. Whatever is said of it from then on is said of the change."""
    given = parse(change.value, substitute)
    inside: Any = source.data
    path: Path = ()
    for step, last in zip(change.path, (*[False] * (len(change.path) - 1), True), strict=True):
        place = _place(inside, step, last=last)
        if place is None:
            source.changed[change.path] = change.text
            what = "has no such member" if isinstance(inside, list) else "has no members: set it as a whole"
            return [Finding(change.path, f"{spell_path(path) or 'the file'} {what}")]
        path = (*path, place)
        if not last:
            inside = _entered(inside, place)
    if isinstance(inside, list) and path[-1] == len(inside):
        inside.append(None)
    inside[path[-1]] = given.data
    source.changed[path] = change.text
    return [Finding((*path, *found.path), found.message, found.hint) for found in given.findings]


def _place(inside: Any, step: str | int, *, last: bool) -> str | int | None:
    """A name stands for a member of a list as well. One more than there are is behind the last."""
    if isinstance(inside, dict):
        return step if isinstance(step, str) else None
    if not isinstance(inside, list):
        return None
    if isinstance(step, int):
        return step if step < len(inside) + last else None
    named = [index for index, item in enumerate(inside) if isinstance(item, dict) and item.get("name") == step]
    return named[0] if named else None


def _entered(inside: Any, place: str | int) -> Any:
    """What is not there, or empty, is made: a mapping."""
    if isinstance(inside, dict) and inside.get(place) is None:
        inside[place] = {}
    return inside[place]

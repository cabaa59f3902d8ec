"""Policy kinds of installed packages: entry points of the group `extproc.policies`, each naming one class."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from extproc.core.problems import Problem
from extproc.plugins.shape import Found, flaws

GROUP: Final = "extproc.policies"


def installed_kinds(problems: list[Problem]) -> list[Found]:
    """The kinds, each with the package that it comes from. What cannot be loaded is told in `problems`."""
    found = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        shown = f"{point.dist.name if point.dist else 'a package'} ({point.value})"
        try:
            kind = point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a package does, it is a problem of the package
            problems.append(Problem(shown, 1, 1, "", f"cannot be loaded: {type(error).__name__}: {error}"))
            continue
        wrong = _flaws(point, kind)
        problems += [Problem(shown, 1, 1, "", flaw) for flaw in wrong]
        found += [] if wrong else [Found(kind, shown)]
    return found


def _flaws(point: EntryPoint, kind: Any) -> list[str]:
    wrong = flaws(kind)
    if not wrong and kind.name != point.name:
        wrong.append(f"the entry point is called {point.name!r}, its policy kind {kind.name!r}")
    return wrong

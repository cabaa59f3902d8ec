"""Whether a class is a policy kind, and what it lacks when it was meant to be one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from extproc.config.settings import Settings
from extproc.core.policy import Phase, Policy, PolicyKind
from extproc.core.problems import Problem

NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
PARTS: Final = ("name", "Settings", "phases", "build")


@dataclass(frozen=True, slots=True)
class Found:
    """A kind, and where it comes from: a file and a line, or a package."""

    kind: type[PolicyKind]
    file: str
    line: int = 1

    def problem(self, message: str, hint: str = "") -> Problem:
        return Problem(self.file, self.line, 1, f"class {self.kind.__name__}", message, hint)


def is_meant_as_kind(candidate: Any, module: str) -> TypeGuard[type[PolicyKind]]:
    """A public class made in that module which is a Policy, or has every part of a kind."""
    if not isinstance(candidate, type) or candidate.__module__ != module or candidate.__name__.startswith("_"):
        return False
    return issubclass(candidate, Policy) or all(hasattr(candidate, part) for part in PARTS)


def flaws(kind: Any) -> list[str]:
    """A sentence for each thing that is wrong with a kind."""
    missing = [part for part in PARTS if not hasattr(kind, part)]
    if missing:
        return [f"has no {', '.join(missing)}: a policy kind has name, Settings, phases and build"]
    found = []
    if not isinstance(kind.name, str) or not NAME.fullmatch(kind.name):
        found.append("its name is no text like business_hours")
    if not isinstance(kind.Settings, type) or not issubclass(kind.Settings, Settings):
        found.append("its Settings is no class derived from extproc.Settings")
    if not callable(kind.phases) and not _are_phases(kind.phases):
        found.append("its phases are no frozenset of extproc.Phase, nor a function that gives one")
    if not callable(kind.build):
        found.append("its build cannot be called")
    return found


def _are_phases(value: Any) -> bool:
    return isinstance(value, frozenset | set) and bool(value) and all(isinstance(phase, Phase) for phase in value)

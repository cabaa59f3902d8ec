"""A rule, and what it found. A rule's id is for ever: people write it into their own pipelines to ignore it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from extproc.audit.node import Node
from extproc.audit.severity import Severity

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Rule(Generic[Seen]):
    """`find` yields every place that weakens; a value that nobody wrote is a place as well."""

    id: str
    severity: Severity
    weakens: str
    mend: str
    reference: str
    find: Callable[[Seen], Iterable[Node]]


@dataclass(frozen=True, slots=True)
class Finding:
    """`line` and `column` count from 1, and are those of the nearest thing that was written."""

    rule: str
    severity: Severity
    line: int
    column: int
    path: str
    weakens: str
    mend: str
    reference: str

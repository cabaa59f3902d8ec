"""Something wrong in what the operator wrote, with its place: collected, never raised one at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from extproc.core.errors import ExtprocError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """`line` and `column` count from 1; `path` is dotted, as `routes[2].match.path_prefix`."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}"
        what = f"{self.path}: {self.message}" if self.path else self.message
        return f"{where}: {what}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem before its place in the file is known."""

    path: Path
    message: str
    hint: str = ""


class InvalidConfig(ExtprocError):
    """The file cannot be used; nothing was started. Carries every problem at once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def spell_path(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text

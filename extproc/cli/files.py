"""Reading what a command was given: a file, or standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from extproc.app.project import Project, build_gateway, read_project
from extproc.app.proving import prove
from extproc.config.changes import Change
from extproc.config.load import Kinds
from extproc.core.problems import InvalidConfig, Problem
from extproc.plan.model import Plan
from extproc.plugins.registry import discover

STANDARD_INPUT = Path("-")
BESIDE_NOTHING = Path(os.devnull)


def read(file: Path, changes: Sequence[Change] = (), text: str | None = None) -> Project:
    """A file, loaded and compiled, or `text` in its place. Raises InvalidConfig."""
    return read_project(file, os.environ, text_of(file) if text is None else text, changes)  # noqa: TID251 - a command runs in the operator's environment


def text_of(file: Path) -> str | None:
    """What standard input says, where that is the file; None means that there is a file to read."""
    return _standard_input() if file == STANDARD_INPUT else None


def checked(file: Path) -> Plan:
    """The plan of a file that could be served as it is. Raises InvalidConfig."""
    project = read(file)
    build_gateway(project)
    prove(project)
    return project.plan


def kinds_for(file: Path | None) -> Kinds:
    """What a file may use: the kinds of the folder beside it too. Raises InvalidConfig."""
    if file is not None and file != STANDARD_INPUT and not file.is_file():
        raise InvalidConfig([Problem(str(file), 1, 1, "", "no such file")])
    registry = discover(file.absolute().parent if file is not None else BESIDE_NOTHING)
    if registry.problems:
        raise InvalidConfig(registry.problems)
    return registry.settings


def _standard_input() -> str:
    """As bytes: what a terminal's locale makes of them is no property of the file."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidConfig([Problem(str(STANDARD_INPUT), 1, 1, "", "is not UTF-8 text")]) from None

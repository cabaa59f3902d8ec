"""Reading what a command was given: a file, or standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from extproc.app.sidecar import build_gateway, read_plan
from extproc.config.load import Loaded
from extproc.core.problems import InvalidConfig, Problem
from extproc.plan.model import Plan

STANDARD_INPUT = Path("-")


def read(file: Path) -> tuple[Loaded, Plan]:
    """A file, loaded and compiled. Raises InvalidConfig."""
    text = _standard_input() if file == STANDARD_INPUT else None
    return read_plan(file, os.environ, text)  # noqa: TID251 - a command runs in the operator's environment


def checked(file: Path) -> Plan:
    """The plan of a file that could be served as it is. Raises InvalidConfig."""
    loaded, plan = read(file)
    build_gateway(loaded, plan)
    return plan


def _standard_input() -> str:
    """As bytes: what a terminal's locale makes of them is no property of the file."""
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidConfig([Problem(str(STANDARD_INPUT), 1, 1, "", "is not UTF-8 text")]) from None

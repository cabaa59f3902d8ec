"""Reading what a command was given: a file, or standard input."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from extproc.app.sidecar import build_gateway, read_plan
from extproc.plan.model import Plan

STANDARD_INPUT = Path("-")


def checked(file: Path) -> Plan:
    """The plan of a file that could be served as it is. Raises InvalidConfig."""
    text = sys.stdin.read() if file == STANDARD_INPUT else None
    loaded, plan = read_plan(file, os.environ, text)  # noqa: TID251 - a command runs in the operator's environment
    build_gateway(loaded, plan)
    return plan

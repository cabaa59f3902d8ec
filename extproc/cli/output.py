"""What every command that prints a result shares: the option `--output`, and how JSON and tables are written.

In a terminal a table is as wide as the terminal, and a cell that is too long goes on in its next line. In a pipe it is
as wide as it must be, so that a row is one line for grep and less -S; COLUMNS, where it is set, is obeyed in both.
Nowhere is anything cut off.
"""

from __future__ import annotations

import io
import json
import os
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

UNBOUNDED: Final = 100_000


class Output(StrEnum):
    TEXT = "text"
    JSON = "json"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="For people or for programs.")]


def write_json(value: Any) -> None:
    """As ASCII: what a terminal's locale makes of another letter is no property of the result."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def console() -> Console:
    """Colours where the terminal has them; NO_COLOR and pipes get plain text (rich).

    A letter that the locale cannot spell is written by its number: it is no reason to say nothing.
    """
    from rich.console import Console  # noqa: PLC0415

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    natural = not sys.stdout.isatty() and not os.environ.get("COLUMNS")  # noqa: TID251 - the terminal's own business
    return Console(highlight=False, width=UNBOUNDED if natural else None)

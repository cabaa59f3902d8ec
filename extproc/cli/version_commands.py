"""`extproc versions`: the signatures and their help. What they do is in `version_report.py`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from extproc.cli.failures import reported
from extproc.cli.output import Output, OutputOption

versions = typer.Typer(help="Versions of the API: who still calls what.", no_args_is_help=True)


@versions.callback()
def options() -> None:
    """Versions of the API: who still calls what."""


@versions.command()
def report(
    log: Annotated[Path, typer.Argument(help="Decision records, a line each; - reads standard input.", metavar="LOG")],
    every: Annotated[bool, typer.Option("--all", help="Current versions as well.")] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which consumers call versions that are deprecated or gone, how often, and when they last did."""
    with reported(output):
        from extproc.cli.version_report import report_log  # noqa: PLC0415

        report_log(log, every=every, as_json=output is Output.JSON)

"""`extproc simulate` and `extproc usage`: the signatures and their help. What they do is imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from extproc.cli.failures import reported
from extproc.cli.key_commands import AdminOption, TokenOption
from extproc.cli.output import Output, OutputOption


def simulate(
    file: Annotated[Path, typer.Argument(help="The gateway.yaml; - reads standard input.", metavar="FILE")],
    traffic: Annotated[
        Path, typer.Option(help="A decision log, as serve writes it; - reads standard input.", metavar="LOG")
    ],
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A change, as tiers.free.rate=20/s; may be repeated.", metavar="PATH=VALUE"),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what a change of limits would have refused of the traffic in a decision log, and whom. Nothing is changed."""
    with reported(output):
        from extproc.cli.simulating import parse_changes, simulate_file  # noqa: PLC0415

        if str(file) == str(traffic) == "-":
            raise typer.BadParameter("standard input is either the file or the log", param_hint="--traffic")
        try:
            changes = parse_changes(change or [])
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--set") from None
        simulate_file(file, traffic, changes, as_json=output is Output.JSON)


def usage(
    consumer: Annotated[str | None, typer.Option(help="Of this one alone.")] = None,
    since: Annotated[str, typer.Option(help="How far back: 24h, 7d.")] = "7d",
    by_route: Annotated[bool, typer.Option("--by-route", help="Each route apart.")] = False,
    by_model: Annotated[bool, typer.Option("--by-model", help="Each version of a model apart.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="The gateway file that says where usage is kept. [default: gateway.yaml]"),
    ] = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say who used how much: requests, bytes and tokens, as far as Envoy's access log told of them."""
    with reported(output):
        from extproc.cli.usage import parse_since, print_usage, sums_of  # noqa: PLC0415

        try:
            moment = parse_since(since)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--since") from None
        sums = sums_of(file, admin, token, moment)
        print_usage(sums, consumer, by_route=by_route, by_model=by_model, as_json=output is Output.JSON)

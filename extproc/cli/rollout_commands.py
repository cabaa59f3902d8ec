"""`extproc rollout`: the signatures and their help. What they do is in `rollouts.py`, imported when one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from extproc.cli.failures import reported
from extproc.cli.key_commands import AdminOption, TokenOption
from extproc.cli.output import Output, OutputOption

rollout = typer.Typer(
    help="Rollouts: who gets which version of a model, and what moves that, by a sidecar's admin address.",
    no_args_is_help=True,
)

Model = Annotated[str, typer.Argument(help="The model's name.", metavar="MODEL")]
Reason = Annotated[str, typer.Option(help="Why, for the record.", metavar="TEXT")]
Generation = Annotated[
    int | None,
    typer.Option(min=0, help="Only where this is still the last generation, as status shows it.", metavar="NUMBER"),
]


@rollout.command()
def status(
    model: Annotated[str | None, typer.Argument(help="Of this one alone, in full.", metavar="[MODEL]")] = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say which version has which share now, what its requests did, and what the ramp waits for."""
    with reported(output):
        from extproc.cli.rollouts import desk, print_status  # noqa: PLC0415

        print_status(desk(admin, token), model, as_json=output is Output.JSON)


@rollout.command(name="set")
def set_shares(
    model: Model,
    shares: Annotated[list[str], typer.Argument(help="v2=50: that version gets 50 %.", metavar="VERSION=PERCENT...")],
    reason: Reason = "",
    generation: Generation = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Give versions their shares; the others get the rest, in proportion. A ramp under way is paused."""
    with reported(output):
        from extproc.cli.rollouts import ask, desk, parse_shares  # noqa: PLC0415

        try:
            wanted = parse_shares(shares)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        ask(desk(admin, token), model, "set", reason, generation, wanted, as_json=output is Output.JSON)


def _changes(action: str, said: str) -> None:
    """A command that asks for one change of a model, and says nothing else."""

    def change(
        model: Model,
        reason: Reason = "",
        generation: Generation = None,
        admin: AdminOption = None,
        token: TokenOption = None,
        output: OutputOption = Output.TEXT,
    ) -> None:
        with reported(output):
            from extproc.cli.rollouts import ask, desk  # noqa: PLC0415

            ask(desk(admin, token), model, action, reason, generation, as_json=output is Output.JSON)

    rollout.command(action, help=said)(change)


_changes("start", "Start the ramp, or go on with one that is paused: from the share that the candidate has.")
_changes("pause", "Stop the ramp where it is. The guard goes on.")
_changes("promote", "Give the candidate everything, at once. The guard watches it for as long as a step is held.")
_changes("rollback", "Take everything from the candidate, at once.")


@rollout.command()
def history(
    model: Model,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """List what was changed, by whom and why, the last first. As JSON with the evidence of each."""
    with reported(output):
        from extproc.cli.rollouts import desk, print_history  # noqa: PLC0415

        print_history(desk(admin, token), model, as_json=output is Output.JSON)


@rollout.command()
def watch(
    model: Model,
    since: Annotated[str, typer.Option(help="How far back: 15m, 6h.")] = "15m",
    once: Annotated[bool, typer.Option("--once", help="Draw once, and end; as in any pipe.")] = False,
    svg: Annotated[Path | None, typer.Option(help="Write the picture there instead, as SVG.", metavar="FILE")] = None,
    admin: AdminOption = None,
    token: TokenOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Draw shares, error rates and latencies of the versions over time, with what was decided. Until Ctrl-C."""
    with reported(output):
        from extproc.cli.rollout_watch import parse_span, watch_rollout  # noqa: PLC0415
        from extproc.cli.rollouts import desk  # noqa: PLC0415

        try:
            span = parse_span(since)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--since") from None
        watch_rollout(desk(admin, token), model, span, svg, once=once, as_json=output is Output.JSON)

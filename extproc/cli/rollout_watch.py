"""`extproc rollout watch`: a picture of a rollout, drawn again and again in a terminal, or once."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final

import typer
from rich.console import Console, Group
from rich.live import Live

from extproc.app.clock import SystemClock
from extproc.cli.output import UNBOUNDED, console, write_json
from extproc.cli.rollout_lines import drawn, steps_in
from extproc.cli.rollout_series import Picture, picture
from extproc.cli.rollout_svg import svg as drawn_svg
from extproc.cli.rollouts import RolloutDesk
from extproc.config.settings import parse_duration

EVERY: Final = 2.0  # seconds
PLAIN: Final = 100  # columns, where nobody says how many there are
OF_A_FILE: Final = 180  # steps


def parse_span(since: str) -> float:
    """In seconds. Raises ValueError."""
    span = parse_duration(since).total_seconds()
    if span < 10:  # noqa: PLR2004 - what the sentence says
        raise ValueError("there is nothing to see in less than 10s")
    return span


def watch_rollout(desk: RolloutDesk, model: str, span: float, svg: Path | None, *, once: bool, as_json: bool) -> None:
    """Raises AdminFailed and OSError."""
    screen = console()
    width = PLAIN if screen.width >= UNBOUNDED else screen.width
    if svg is not None:
        shown = _now(desk, model, span, OF_A_FILE)
        svg.write_text(drawn_svg(shown), "utf-8")
        write_json({"svg": str(svg)}) if as_json else typer.echo(str(svg))
    elif as_json:
        write_json(_now(desk, model, span, OF_A_FILE).told())
    elif once or not sys.stdout.isatty():
        screen.print(_group(_now(desk, model, span, steps_in(width)), width))
    else:
        _live(desk, model, span, screen)


def _live(desk: RolloutDesk, model: str, span: float, screen: Console) -> None:
    """Until Ctrl-C, which is how one ends it: 0."""
    try:
        with Live(console=screen, auto_refresh=False) as live:
            while True:
                shown = _now(desk, model, span, steps_in(screen.width))
                live.update(_group(shown, screen.width), refresh=True)
                time.sleep(EVERY)
    except KeyboardInterrupt:
        return


def _now(desk: RolloutDesk, model: str, span: float, points: int) -> Picture:
    return picture(desk, model, SystemClock().now(), span, points)


def _group(shown: Picture, width: int) -> Group:
    return Group(*drawn(shown, width))

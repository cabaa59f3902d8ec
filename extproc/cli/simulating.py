"""`extproc simulate`: a decision log before the limits of a file, as it is and with changes."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from extproc.app.project import Project
from extproc.app.replaying import Replay
from extproc.app.simulate import Row, Simulation, Told, simulate
from extproc.cli.files import STANDARD_INPUT, read, text_of
from extproc.cli.output import console, write_json
from extproc.config.changes import Change, parse_change
from extproc.config.model import MEMORY
from extproc.config.sentences import nearest
from extproc.telemetry.traffic import read_traffic

COLUMNS: Final = ("consumer", "limit", "of", "requests", "refused before", "refused after", "first refused")
NUMBERS: Final = COLUMNS[3:6]


def parse_changes(texts: Sequence[str]) -> tuple[Change, ...]:
    """Raises ValueError."""
    return tuple([parse_change(text) for text in texts])


def simulate_file(file: Path, traffic: Path, changes: Sequence[Change], *, as_json: bool) -> None:
    """Raises InvalidConfig, of the file or of a change, and OSError."""
    text = text_of(file)
    before, after = read(file, text=text), read(file, changes, text)
    with _opened(traffic) as lines:
        found = asyncio.run(simulate(Replay(before), Replay(after), read_traffic(lines)))
    if as_json:
        write_json(_told(found))
    else:
        _print(found)
    for line in (*_new_tiers(before, after), *_warnings(found, in_memory=before.plan.sidecar.counters == MEMORY)):
        typer.echo(line, err=True)


def _new_tiers(before: Project, after: Project) -> Iterator[str]:
    """A misspelt tier is a new one, which changes nothing for anybody in the log."""
    known = before.loaded.config.tiers
    for name in after.loaded.config.tiers:
        if name not in known:
            yield f"the tier {name!r} is new: nobody in the log has it; {nearest(name, known)}".removesuffix("; ")


@contextlib.contextmanager
def _opened(traffic: Path) -> Iterator[BinaryIO]:
    if traffic == STANDARD_INPUT:
        yield sys.stdin.buffer
        return
    with traffic.open("rb") as lines:
        yield lines


def _told(found: Simulation) -> dict[str, Any]:
    told = asdict(found.told) | {"first": _moment(found.told.first), "last": _moment(found.told.last)}
    return {
        "traffic": told,
        "limits": [_row(row) for row in found.rows],
        "left_out": [{"limit": one.limit.name, "of": one.limit.scope, "why": one.why} for one in found.left_out],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "consumer": row.consumer,
        "limit": row.limit.name,
        "of": row.limit.scope,
        "requests": row.requests,
        "refused_before": row.refused_before,
        "refused_after": row.refused_after,
        "first_refused_before": _moment(row.first_before),
        "first_refused_after": _moment(row.first_after),
    }


def _print(found: Simulation) -> None:
    out = console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in NUMBERS else "left")
    for row in found.rows:
        numbers = (str(row.requests), str(row.refused_before), str(row.refused_after))
        cells = (row.consumer, row.limit.name, row.limit.scope or "-", *numbers, _time(row.first_after) or "-")
        table.add_row(*map(Text, cells), style=_style(row))
    if found.rows:
        out.print(table)
    out.print(Text(_sum(found.told)), soft_wrap=True)


def _style(row: Row) -> str:
    if row.refused_after == row.refused_before:
        return ""
    return "yellow" if row.refused_after > row.refused_before else "green"


def _sum(told: Told) -> str:
    span = f" from {_time(told.first)} to {_time(told.last)}" if told.requests else ""
    refused = f"before {told.refused_before}, after {told.refused_after}"
    return f"{_count(told.requests, 'request')}{span}, {told.judged} before a limit; refused: {refused}"


def _warnings(found: Simulation, *, in_memory: bool) -> Iterator[str]:
    """What makes the answer less sure than it looks."""
    told = found.told
    if told.unreadable:
        yield f"{_count(told.unreadable, 'line')} could not be read as a record"
    if told.elsewhere:
        yield f"{_count(told.elsewhere, 'request')} went to routes that this file does not have"
    if told.undecided:
        yield f"{_count(told.undecided, 'request')} could not be judged: the record does not say what a limit counts by"
    if told.inexact:
        yield f"{_count(told.inexact, 'record')} without the time of judgement: the time of the record was taken"
    if told.late:
        yield f"{_count(told.late, 'record')} too far out of order: judged at the time of the one before"
    if not in_memory:
        yield "this file counts in Redis, by Redis's clock: the times of the sidecars were taken"
    for one in found.left_out:
        yield f"left out: {one.limit.name} of {one.limit.scope}: {one.why}"
    if told.refused_before != told.refused_in_log:
        yield (
            f"of these {told.refused_in_log} were refused in the log, and the file as it is refuses "
            f"{told.refused_before}: counters were in use when the log began, or it is of another file"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _moment(moment: float) -> str | None:
    return _time(moment) or None


def _time(moment: float) -> str:
    """As the records have it: to the millisecond, in UTC. Empty where there is none."""
    if not moment:
        return ""
    try:
        return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{moment:.3f}"

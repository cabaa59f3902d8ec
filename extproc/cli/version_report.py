"""Decision records -> consumer by version, as a table or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.table import Table

from extproc.cli.files import STANDARD_INPUT
from extproc.cli.output import console, write_json
from extproc.core.names import API_STATUS, API_VERSION
from extproc.core.versions import Status

NOBODY: Final = ""  # on a route that anybody may call


@dataclass(slots=True)
class Calls:
    """`refused` are those that were not let through: gone versions, limits, permissions. `last` is in UTC."""

    consumer: str
    version: str
    status: str
    requests: int = 0
    refused: int = 0
    last: str = ""
    routes: list[str] | None = None


@dataclass(slots=True)
class Report:
    """`unread` are lines that are no decision record and no event, as a log that was cut has at its ends."""

    calls: list[Calls]
    unread: int = 0


def report_log(log: Path, *, every: bool, as_json: bool) -> None:
    if log == STANDARD_INPUT:
        made = made_of(sys.stdin.buffer, every=every)
    else:
        with log.open("rb") as lines:
            made = made_of(lines, every=every)
    if as_json:
        write_json(asdict(made))
        return
    _show(made)


def made_of(lines: Iterable[bytes], *, every: bool = False) -> Report:
    """By version, then by how often: whoever calls most is to be told first."""
    found: dict[tuple[str, str], Calls] = {}
    last: dict[tuple[str, str], float] = {}
    report = Report([])
    for record in _records(lines, report):
        facts = record.get("facts")
        if not isinstance(facts, dict):
            continue
        version, status = str(facts.get(API_VERSION, "")), str(facts.get(API_STATUS, ""))
        if not version or (status == Status.CURRENT and not every):
            continue
        consumer = str(record.get("consumer", NOBODY))
        calls = found.setdefault((version, consumer), Calls(consumer, version, status, routes=[]))
        _count(calls, record, status)
        at = record.get("time")
        if isinstance(at, int | float) and at > last.get((version, consumer), 0):
            last[version, consumer] = at
            calls.last = _moment(at)
    report.calls = sorted(found.values(), key=lambda calls: (calls.version, -calls.requests, calls.consumer))
    return report


def _count(calls: Calls, record: dict[str, Any], status: str) -> None:
    calls.status = status
    calls.requests += 1
    calls.refused += record.get("result") != "allow"
    route = str(record.get("route", ""))
    if calls.routes is not None and route not in calls.routes:
        calls.routes.append(route)


def _records(lines: Iterable[bytes], report: Report) -> Iterator[dict[str, Any]]:
    for line in lines:
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or "event" not in record:
            report.unread += 1
        elif record["event"] == "decision":
            yield record


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""


def _show(report: Report) -> None:
    out = console()
    if report.calls:
        table = Table("version", "consumer", "requests", "refused", "last seen", "routes", box=box.SIMPLE_HEAD)
        for calls in report.calls:
            version = f"{calls.version} ({calls.status})"
            numbers = (str(calls.requests), str(calls.refused))
            table.add_row(version, calls.consumer or "nobody", *numbers, calls.last, ", ".join(calls.routes or ()))
        out.print(table)
    else:
        out.print("nobody calls a version that is deprecated or gone")
    if report.unread:
        out.print(f"{report.unread} lines are no records", style="dim")

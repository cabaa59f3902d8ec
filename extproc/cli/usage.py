"""`extproc usage`: who used how much, from the store that a gateway file names or from a running sidecar."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from extproc.app.clock import SystemClock
from extproc.app.observing import Unheard
from extproc.app.sidecar import ADMIN_TOKEN
from extproc.app.usage import read_usage
from extproc.cli.admin_address import ADMIN, AdminAddress
from extproc.cli.files import read
from extproc.cli.output import console, write_json
from extproc.config.settings import parse_duration
from extproc.core.usage import HOUR, Group, Sums, Usage, Used, summed, total

GATEWAY: Final = Path("gateway.yaml")
COLUMNS: Final = (
    "consumer",
    "tier",
    "route",
    "model",
    "version",
    "requests",
    "2xx",
    "3xx",
    "4xx",
    "5xx",
    "bytes in",
    "bytes out",
    "tokens",
)
NAMES: Final = Group._fields
CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
NUMBERS: Final = len(Usage._fields)
NOBODY: Final = "-"
Totals = Mapping[Group, Mapping[str, Usage]]


class NoUsage(Exception):
    """The gateway file does not say that usage is kept."""


def parse_since(since: str) -> int:
    """The moment, as far as usage is summed up: the beginning of an hour. Raises ValueError."""
    moment = int(SystemClock().now() - parse_duration(since).total_seconds())
    return max(0, moment - moment % HOUR)


def sums_of(file: Path | None, admin: str | None, token: str | None, since: int) -> Sums:
    """Raises BadParameter, NoUsage, InvalidConfig, AdminFailed, StoreUnavailable."""
    environment = os.environ  # noqa: TID251 - a command runs in the operator's environment
    if file is not None and admin is not None:
        raise typer.BadParameter("write one of --file and --admin")
    if admin is not None or (file is None and environment.get(ADMIN)):
        try:
            sidecar = AdminAddress(admin or environment[ADMIN], token or environment.get(ADMIN_TOKEN, ""))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        rows = sidecar.ask("GET", f"/usage?since={since}")["usage"]
        return {Used(*row[:-NUMBERS]): Usage(*row[-NUMBERS:]) for row in rows}  # an older sidecar knows no models
    plan = read(file or GATEWAY).plan.sidecar
    if plan.usage is None:
        raise NoUsage(f"{file or GATEWAY} keeps no usage: write sidecar: {{usage: {{keep: 90d}}}}")
    return asyncio.run(read_usage(plan, since, SystemClock(), Unheard()))


def print_usage(sums: Sums, consumer: str | None, *, by_route: bool, by_model: bool, as_json: bool) -> None:
    totals = summed(sums, by_route=by_route, consumer=consumer, by_model=by_model)
    left_out = {
        name for name, wanted in (("route", by_route), ("model", by_model), ("version", by_model)) if not wanted
    }
    names = [name for name in NAMES if name not in left_out]
    if as_json:
        write_json({"usage": [_told(names, group, classes) for group, classes in _ordered(totals)]})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        if name not in left_out:
            table.add_column(name, justify="left" if name in NAMES else "right")
    for group, classes in _ordered(totals):
        every = total(classes.values())
        counts = [str(classes[name].requests) if name in classes else "0" for name in CLASSES]
        named = [getattr(group, name) or NOBODY for name in names]
        cells = [*named, str(every.requests), *counts, str(every.bytes_in), str(every.bytes_out), str(every.tokens)]
        table.add_row(*map(Text, cells))
    console().print(table)


def _ordered(totals: Totals) -> list[tuple[Group, Mapping[str, Usage]]]:
    """Who asked most stands first."""
    return sorted(totals.items(), key=lambda item: (-total(item[1].values()).requests, item[0]))


def _told(names: Sequence[str], group: Group, classes: Mapping[str, Usage]) -> dict[str, Any]:
    named = {name: getattr(group, name) for name in names}
    by_status = {status: usage.requests for status, usage in sorted(classes.items())}
    return {**named, **total(classes.values())._asdict(), "status": by_status}

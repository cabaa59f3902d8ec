"""`extproc plan`: what a gateway file means, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from extproc.bootstrap.filters import met_by
from extproc.cli.files import read
from extproc.cli.output import UNBOUNDED, console, write_json
from extproc.core.specs import VERSION
from extproc.plan.describe import describe
from extproc.plan.description import (
    FilterDescription,
    ListenerDescription,
    PlanDescription,
    PolicyDescription,
    RouteDescription,
)
from extproc.plan.model import Plan, RoutePlan

COLOURS: Final = {0: "green", 1: "cyan", 2: "yellow", 3: "magenta"}  # by what a request costs
SEEN: Final = {
    "forward": "the request forwarded: ",
    "request_body": "the request's body: ",
    "response": "the answer: ",
    "response_body": "the answer's body: ",
    "response_stream": "the answer as it passes: ",
}
PREFIX: Final = "envoy.filters.http."
BYTES: Final = {"GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}
WIDE_ENOUGH: Final = 120  # below it, what a route matches and where it leads stand under its name
COLUMNS: Final = ("route", "matches", "leads to", "sidecar calls", "judged by", "bounds")
NARROW_COLUMNS: Final = ("route", "sidecar calls", "judged by", "bounds")


def plan_file(file: Path, *, as_json: bool) -> None:
    described = described_plan(read(file).plan)
    if as_json:
        write_json(asdict(described))
    else:
        show(described, console())


def described_plan(plan: Plan) -> PlanDescription:
    def filters(route: RoutePlan) -> Iterable[FilterDescription]:
        return (FilterDescription(row.name, row.why) for row in met_by(plan, route))

    return describe(plan, filters)


def show(plan: PlanDescription, out: Console) -> None:
    """Without the spaces with which rich fills a line: in a pipe as wide as its rows, they would be most of it."""
    with out.capture() as captured:
        out.print(_piped(plan) if out.width == UNBOUNDED else _table(plan, out.width))
        out.print() if out.width == UNBOUNDED else None
        for line in _summary(plan):
            out.print(line, soft_wrap=True)
    for text in captured.get().splitlines():
        out.file.write(text.rstrip() + "\n")


def _table(plan: PlanDescription, width: int) -> Table:
    """A row per route, with a line for each thing that is said of it."""
    columns = NARROW_COLUMNS if width < WIDE_ENOUGH else COLUMNS
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, leading=1)
    for column in table.columns:
        column.overflow = "fold"
    for route in plan.routes:
        cells = [_name(route), _matches(route), _target(route)]
        first = [_lines(cells)] if columns is NARROW_COLUMNS else cells
        table.add_row(*first, *map(_lines, (_calls(route), _judges(route), _bounds(route))))
    return table


def _piped(plan: PlanDescription) -> Table:
    """A line per route, as long as it must be."""
    table = Table(*COLUMNS, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns:
        column.no_wrap = True
    for route in plan.routes:
        services = Text(" ".join((str(route.calls), *route.services)))
        rest = (Text(" ▸ ").join(cell) for cell in (_judges(route), _bounds(route)))
        table.add_row(_name(route), _matches(route), _target(route), services, *rest)
    return table


def _lines(parts: Iterable[Text]) -> Text:
    return Text("\n").join(parts)


def _name(route: RouteDescription) -> Text:
    return Text(route.name, "bold")


def _matches(route: RouteDescription) -> Text:
    return Text(route.match.text)


def _target(route: RouteDescription) -> Text:
    return Text(f"→ {route.target.text}")


def _calls(route: RouteDescription) -> list[Text]:
    first, *more = route.services or ("",)
    lines = [f"{route.calls} {first}", *(f"  {service}" for service in more)]
    return [Text(line, COLOURS.get(route.calls, "red")) for line in lines]


def _judges(route: RouteDescription) -> list[Text]:
    return [_policy(policy) for policy in route.policies] or [Text("nobody", "dim")]


def _policy(policy: PolicyDescription) -> Text:
    return Text.assemble((SEEN.get(policy.phase, ""), "dim"), (policy.policy, "bold"), " ", policy.brief)


def _bounds(route: RouteDescription) -> list[Text]:
    times = {route.timeout_seconds: "", route.idle_timeout_seconds: " idle"}
    known = [f"{seconds:g} s{sort}" for seconds, sort in times.items() if seconds is not None]
    judged = any(policy.policy == VERSION for policy in route.policies)
    version = [f"version {route.api_version.text}"] if route.api_version and not judged else []
    return [Text(bound) for bound in (*known, f"body {_size(route.request_body.limit_bytes)}", *version)]


def _size(number: int) -> str:
    unit = next(unit for unit, size in BYTES.items() if number % size == 0)
    return f"{number // BYTES[unit]} {unit}"


def _listener(item: ListenerDescription) -> str:
    shown = "" if item.client_certificates == "none" else f", client certificates {item.client_certificates}"
    return f"{item.name} {item.address}" + (f" (TLS{shown})" if item.tls else "")


def _summary(plan: PlanDescription) -> Iterable[Text]:
    every = [use for use in plan.routes[0].filters if all(use in route.filters for route in plan.routes)]
    counts = [
        f"{number} with {calls} {'call' if calls == '1' else 'calls'} to the sidecar"
        for calls, number in plan.totals.routes_by_calls.items()
        if number
    ]
    lines = {
        "routes": f"{plan.totals.routes}: {', '.join(counts)}",
        "tiers": "; ".join(f"{tier.name} {tier.rule}" for tier in plan.tiers),
        "filters": f"{', '.join(use.name.removeprefix(PREFIX) for use in every)} for every request",
        "listeners": ", ".join(map(_listener, plan.listeners)),
        "usage": f"of each request, from Envoy's access log, kept for {plan.usage}" if plan.usage else "",
        "rollouts": "; ".join(f"{one.rule}, kept in {one.kept}" for one in plan.rollouts),
        "revision": plan.revision,
    }
    for name, said in lines.items():
        if said:
            yield Text.assemble((f"{name:<10} ", "bold"), said)

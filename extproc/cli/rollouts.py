"""`extproc rollout`: asked of a running sidecar, since what is in force is what it serves by."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import typer
from rich import box
from rich.table import Table
from rich.text import Text

from extproc.app.sidecar import ADMIN_TOKEN
from extproc.cli.admin_address import ADMIN, AdminAddress
from extproc.cli.output import console, write_json

USUAL: Final = "http://127.0.0.1:9900"  # sidecar.admin, where nobody wrote another
SHARE: Final = re.compile(r"(?P<version>[^=\s]+)=(?P<percent>[0-9]{1,3}(?:\.[0-9]{1,2})?)%?", re.ASCII)
NO_SHARE: Final = "write VERSION=PERCENT, from 0 to 100 in steps of 0.01, as v2=50"
COLUMNS: Final = ("model", "status", "version", "share", "requests", "errors", "p95", "score", "cost")
NOTHING: Final = "-"
Told = Mapping[str, Any]


class RolloutDesk:
    """What a running sidecar knows and does of rollouts. Every method raises AdminFailed."""

    def __init__(self, sidecar: AdminAddress) -> None:
        self._sidecar = sidecar

    def every(self) -> list[Told]:
        return list(self._sidecar.ask("GET", "/rollouts")["rollouts"])

    def told(self, model: str) -> Told:
        return self._sidecar.ask("GET", _path(model))

    def change(self, model: str, wish: Told) -> Told:
        return self._sidecar.ask("POST", _path(model), wish)

    def history(self, model: str) -> list[Told]:
        return list(self._sidecar.ask("GET", f"{_path(model)}/history")["changes"])

    def series(self, model: str, since: float, until: float, step: float) -> list[Told]:
        asked = f"since={since:.3f}&until={until:.3f}&step={step:.3f}"
        return list(self._sidecar.ask("GET", f"{_path(model)}/series?{asked}")["points"])


def desk(admin: str | None, token: str | None) -> RolloutDesk:
    """Raises BadParameter."""
    environment = os.environ  # noqa: TID251 - a command runs in the operator's environment
    try:
        address = AdminAddress(admin or environment.get(ADMIN) or USUAL, token or environment.get(ADMIN_TOKEN, ""))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return RolloutDesk(address)


def parse_shares(written: Sequence[str]) -> dict[str, float]:
    """Raises ValueError."""
    shares: dict[str, float] = {}
    for one in written:
        found = SHARE.fullmatch(one)
        if found is None or found["version"] in shares or not float(found["percent"]) <= 100:  # noqa: PLR2004
            raise ValueError(NO_SHARE)
        shares[found["version"]] = float(found["percent"])
    return shares


def ask(
    desk: RolloutDesk,
    model: str,
    action: str,
    reason: str,
    generation: int | None,
    shares: Mapping[str, float] | None = None,
    *,
    as_json: bool,
) -> None:
    only = {"generation": generation} if generation is not None else {}
    wish = {"action": action, "reason": reason, **({"shares": shares} if shares else {}), **only}
    told = desk.change(model, wish)
    if as_json:
        write_json(told)
        return
    typer.echo(f"{model}: {told['status']}, {spell_shares(told['shares'])} (generation {told['generation']})")


def print_status(desk: RolloutDesk, model: str | None, *, as_json: bool) -> None:
    told = desk.every() if model is None else [desk.told(model)]
    if as_json:
        write_json({"rollouts": told} if model is None else told[0])
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in COLUMNS[:3] else "right")
    for one in told:
        for version, share in one["shares"].items():
            candidate = " *" if version == one["candidate"] and len(one["shares"]) > 1 else ""
            named = [one["model"], one["status"], version + candidate]
            cells = [*named, spell_share(share), *_figures(one["versions"].get(version))]
            table.add_row(*map(Text, cells))
    console().print(table)
    for one in told:
        for line in _notes(one):
            typer.echo(line)


def print_history(desk: RolloutDesk, model: str, *, as_json: bool) -> None:
    changes = desk.history(model)
    if as_json:
        write_json({"changes": changes})
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("when", "generation", "what", "by", "shares", "reason"):
        table.add_column(name, justify="right" if name == "generation" else "left")
    for one in changes:
        cells = [moment(one["at"]), str(one["generation"]), one["what"], one["by"], spell_shares(one["after"])]
        table.add_row(*map(Text, [*cells, one["reason"] or NOTHING]))
    console().print(table)


def spell_share(share: float) -> str:
    return f"{share:g} %"


def spell_shares(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{version} {spell_share(share)}" for version, share in shares.items())


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _path(model: str) -> str:
    return f"/rollouts/{quote(model, safe='')}"


def _figures(seen: Told | None) -> list[str]:
    if seen is None:
        return ["0", *[NOTHING] * 4]
    errors = NOTHING if seen["error_rate"] is None else f"{seen['errors']} ({seen['error_rate']:.2%})"
    p95 = NOTHING if seen["p95_seconds"] is None else f"{seen['p95_seconds'] * 1000:.0f} ms"
    score = NOTHING if seen["score"] is None else f"{seen['score']:.3g}"
    return [str(seen["requests"]), errors, p95, score, f"{seen['cost']:.4g}" if seen["tokens"] else NOTHING]


def _notes(one: Told) -> list[str]:
    """What does not fit into a row."""
    model = one["model"]
    window = f"{model}: figures of the last {one['window_seconds']:g} s" if one["window_seconds"] else ""
    coming = f"{model}: {one['candidate']} gets {spell_share(one['next'])} next" if one["next"] is not None else ""
    waits = f"; {one['waits']}" if one["waits"] else ""
    shown = coming + waits if one["status"] in ("ramping", "held", "paused") else ""
    tests = ", ".join(f"{name} {capital:g}" for name, capital in one["tests"].items())
    against = f"{model}: bets against {one['candidate']} stand at {tests}" if tests else ""
    breached = f"{model}: the guard last saw a breach at {moment(one['breached'])}" if one["breached"] else ""
    other = "" if one["same_file"] else f"{model}: a sidecar with another file has the last word here"
    return [line for line in (window, shown, against, breached, other) if line]

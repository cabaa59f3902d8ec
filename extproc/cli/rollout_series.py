"""What is drawn of a rollout: in each step of time, what every version was to get, got and did, and decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from extproc.cli.rollouts import RolloutDesk, Told

SHORTEST: Final = 1.0  # seconds of a step: evidence is not kept finer


@dataclass(frozen=True, slots=True)
class Point:
    """What one version did in one step. Shares and rates from 0 to 1, times in seconds; None where nothing was seen."""

    target: float
    share: float | None = None
    error_rate: float | None = None
    p95: float | None = None
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """`lines` by version, a point for each step from `since` on. `decisions` are in the order of their time."""

    model: str
    status: str
    candidate: str
    shares: Mapping[str, float]
    since: float
    until: float
    step: float
    lines: Mapping[str, Sequence[Point]]
    decisions: Sequence[Told]

    def told(self) -> dict[str, Any]:
        at = [self.since + place * self.step for place in range(max(map(len, self.lines.values()), default=0))]
        return {
            "model": self.model,
            "status": self.status,
            "candidate": self.candidate,
            "shares": dict(self.shares),
            "since": self.since,
            "until": self.until,
            "step": self.step,
            "points": [
                {"at": moment, "versions": {name: _told(line[place]) for name, line in self.lines.items()}}
                for place, moment in enumerate(at)
            ],
            "decisions": [{key: value for key, value in one.items() if key != "evidence"} for one in self.decisions],
        }


def picture(desk: RolloutDesk, model: str, now: float, span: float, points: int) -> Picture:
    """Of the last `span` seconds, in so many steps at most. Raises AdminFailed."""
    told, changes = desk.told(model), desk.history(model)
    step = max(SHORTEST, math.ceil(span / points))
    until = math.ceil(now / step) * step
    since = until - math.ceil(span / step) * step
    series = desk.series(model, since, until, step)
    lines = {name: _line(name, series, changes, told["shares"], step) for name in told["shares"]}
    decisions = sorted((one for one in changes if since <= one["at"] <= until), key=lambda one: float(one["at"]))
    return Picture(model, told["status"], told["candidate"], told["shares"], since, until, step, lines, decisions)


def _line(
    version: str, series: Sequence[Told], changes: Sequence[Told], shares: Mapping[str, float], step: float
) -> list[Point]:
    line = []
    for point in series:
        seen = point["versions"]
        target = _target(version, point["at"] + step, changes, shares)
        every = sum(one["requests"] for one in seen.values())
        mine = seen.get(version)
        if mine is None or not mine["requests"]:
            line.append(Point(target, 0.0 if every else None))
            continue
        line.append(Point(target, mine["requests"] / every, mine["error_rate"], mine["p95_seconds"], mine["requests"]))
    return line


def _target(version: str, moment: float, changes: Sequence[Told], shares: Mapping[str, float]) -> float:
    """What it was to have then: `changes` come last first."""
    for place, change in enumerate(changes):
        if change["at"] < moment:
            return float((change["after"] if place else shares).get(version, 0.0)) / 100
    first = changes[-1]["before"] if changes else shares
    return float(first.get(version, 0.0)) / 100


def _told(point: Point) -> dict[str, Any]:
    return {
        "target": point.target,
        "share": None if point.share is None else round(point.share, 6),
        "error_rate": point.error_rate,
        "p95_seconds": point.p95,
        "requests": point.requests,
    }

"""A sidecar's answers about a rollout, made up: a ramp that went well until it did not."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Final

BEGUN: Final = 1_790_000_000.0
SPAN: Final = 900.0
NOW: Final = BEGUN + SPAN
STEPS: Final = ((60, "started", 5.0), (200, "stepped", 25.0), (340, "stepped", 50.0), (640, "rolled back", 0.0))


def change(at: float, what: str, before: float, after: float, generation: int) -> dict[str, Any]:
    turned = what == "rolled back"
    return {
        "at": BEGUN + at,
        "model": "recommend",
        "generation": generation,
        "what": what,
        "by": "operator" if what == "started" else "automatic",
        "reason": "error rate 4.12% is above 2.00%" if turned else "the step was held" if what == "stepped" else "",
        "before": {"v1": 100 - before, "v2": before},
        "after": {"v1": 100 - after, "v2": after},
        "status": "rolled back" if turned else "ramping",
        "evidence": {},
    }


def changes() -> list[dict[str, Any]]:
    """The last first."""
    made, before = list[dict[str, Any]](), 0.0
    for generation, (at, what, share) in enumerate(STEPS, 2):
        made.append(change(at, what, before, share, generation))
        before = share
    return list(reversed(made))


class FakeDesk:
    """As `RolloutDesk`, of which it has the methods that pictures need."""

    def told(self, model: str) -> Mapping[str, Any]:
        return {"status": "rolled back", "candidate": "v2", "shares": {"v1": 100.0, "v2": 0.0}}

    def history(self, model: str) -> list[Mapping[str, Any]]:
        return list(changes())

    def series(self, model: str, since: float, until: float, step: float) -> list[Mapping[str, Any]]:
        chance = random.Random(7)  # noqa: S311 - no secret
        points, at = list[Mapping[str, Any]](), since
        while at < until:
            points.append({"at": at, "versions": self._seen(at - BEGUN, chance)})
            at += step
        return points

    def _seen(self, at: float, chance: random.Random) -> dict[str, Any]:
        share = next((share for begin, _, share in reversed(STEPS) if at >= begin), 0.0) / 100
        mine = round(1_000 * share * chance.uniform(0.9, 1.1))
        ailing = 0.1 if at > 600 else 0.011
        seen = {"v1": self._one(1_000 - mine, 0.01, 0.18, chance)}
        return seen | ({"v2": self._one(mine, ailing, 0.14, chance)} if mine else {})

    def _one(self, requests: int, errors: float, p95: float, chance: random.Random) -> dict[str, Any]:
        rate = errors * chance.uniform(0.7, 1.3)
        return {
            "requests": requests,
            "errors": round(requests * rate),
            "error_rate": rate,
            "p95_seconds": p95 * chance.uniform(0.9, 1.15),
        }

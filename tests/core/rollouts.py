"""Rollouts for tests: rules, and evidence as a version that behaves in some way leaves it."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from extproc.core.evidence import BUCKETS, Evidence, bucket_of
from extproc.core.guard import Guard, Trial
from extproc.core.ramp import Seen, look, needed, trial_of
from extproc.core.rollout import Change, Ramp, Rollout, Rules
from extproc.core.rollout_changes import planned, started

NOW: Final = 1_790_000_000.0
GUARD: Final = Guard(error_rate=0.02, p95=0.25, min_requests=200)
RAMP: Final = Ramp((100, 500, 2_500, 5_000, 10_000), 60.0)
RULES: Final = Rules("recommend", "v2", {"v1": 10_000, "v2": 0}, GUARD, RAMP)


def evidence(requests: int, errors: int = 0, slow: int = 0, tokens: int = 0) -> Evidence:
    """Fast ones take 10 ms, slow ones a second."""
    latencies = [0] * BUCKETS
    latencies[bucket_of(0.01)] = requests - slow
    latencies[bucket_of(1.0)] = slow
    return Evidence(requests, errors, tuple(latencies), tokens)


def scored(requests: int, scores: int, mean: float) -> Evidence:
    return Evidence(requests, 0, evidence(requests).latencies, 0, scores, scores * mean, scores * mean * mean)


def begun(rules: Rules = RULES, now: float = NOW) -> Rollout:
    """A ramp that has just been started."""
    return started(planned(rules, None, now - 1_000)[0], rules.ramp, "", now)[0]


@dataclass(slots=True)
class Run:
    """A rollout that is looked at, interval by interval, over evidence that `shown` makes of the shares."""

    rules: Rules
    rollout: Rollout
    now: float = NOW
    trial: Trial | None = None
    changes: list[Change] = field(default_factory=list)
    slots: list[tuple[float, Mapping[str, Evidence]]] = field(default_factory=list)

    def look(self, seen: Mapping[str, Evidence] | None) -> list[Change]:
        """One interval on. `seen` is what happened in it; None where nobody knows."""
        if seen is not None:
            self.slots.append((self.now + 1, seen))
        self.now += self.rules.interval
        trial = trial_of(self.rollout, self.trial)
        wanted = needed(self.rules, self.rollout, trial, self.now)
        found = (
            None
            if seen is None
            else Seen(*(self._sum(*stretch) for stretch in (wanted.window, wanted.batch, wanted.step)))
        )
        looked = look(self.rules, self.rollout, trial, found, self.now)
        self.rollout, self.trial = looked.rollout, looked.trial
        self.changes += [looked.change] if looked.change else []
        return [looked.change] if looked.change else []

    def _sum(self, since: float, until: float) -> dict[str, Evidence]:
        total: dict[str, Evidence] = {}
        for begin, seen in reversed(self.slots):
            if begin < since:
                break
            if begin < until:
                for name, one in seen.items():
                    total[name] = total[name] + one if name in total else one
        return total


def binomial(chance: random.Random, count: int, share: float) -> int:
    """Quick where few of many are hit, as errors are: from one to the next."""
    if not 0 < share < 1:
        return count if share >= 1 else 0
    hits, at = 0, 0
    step = math.log1p(-share)
    while True:
        at += int(math.log(1 - chance.random()) / step) + 1
        if at > count:
            return hits
        hits += 1

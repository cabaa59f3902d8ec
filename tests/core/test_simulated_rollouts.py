"""Many rollouts with made-up traffic: how often equal versions are turned back, and how soon worse ones are.

`python -m tests.core.test_simulated_rollouts` prints the table of docs/rollouts.md.
"""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Final, NamedTuple

import pytest

from extproc.core.evidence import BUCKETS, Evidence, bucket_of
from extproc.core.guard import Comparison, Guard
from extproc.core.ramp import Seen, look, trial_of
from extproc.core.rollout import Ramp, Rollout, Rules, Status, What
from extproc.core.rollout_changes import planned, started
from tests.core.rollouts import NOW, binomial

SEED: Final = 20261129
LOOKS: Final = 15  # of each step
INTERVAL: Final = 10.0
TRAFFIC: Final = 1_000  # requests of an interval, of both versions together
FAST, SLOW = bucket_of(0.01), bucket_of(1.0)
ALPHA: Final = 0.05
TESTED: Final = Guard(
    interval=INTERVAL, settle=0.0, alpha=ALPHA, min_requests=10,
    compare=Comparison(error_rate=0.0, slow=0.0, score=0.0, slower_than=0.25),
)  # fmt: skip
ERRORS_ALONE: Final = replace(TESTED, compare=Comparison(error_rate=0.0))
WINDOW: Final = Guard(error_rate=0.02, min_requests=200, interval=INTERVAL, window=60.0)


class Behaviour(NamedTuple):
    errors: float = 0.01
    slow: float = 0.03
    score: float = 0.8


class Ended(NamedTuple):
    """`looks` since the version became worse, `harmed`: its errors as a share of all requests since then."""

    turned_back: bool
    looks: int
    harmed: float


@dataclass(frozen=True, slots=True)
class Simulated:
    """A rollout whose candidate changes its ways at a look."""

    guard: Guard
    before: Behaviour
    after: Behaviour
    at: int = 0

    def run(self, chance: random.Random) -> Ended:
        ramp = Ramp((100, 500, 2_500, 5_000, 10_000), LOOKS * INTERVAL)
        rules = Rules("m", "v2", {"v1": 10_000, "v2": 0}, replace(self.guard, min_requests=10), ramp)
        judged = replace(rules, guard=self.guard)
        rollout: Rollout = started(planned(rules, None, NOW - 1)[0], ramp, "", NOW)[0]
        trial, recent, harmed, sent = None, list[Evidence](), 0, 0
        for turn in range(LOOKS * len(ramp.steps)):
            mine = round(TRAFFIC * rollout.share / 10_000)
            ways = self.after if turn >= self.at else self.before
            batch = {"v1": made(chance, TRAFFIC - mine, self.before), "v2": made(chance, mine, ways)}
            recent = [*recent[-round(self.guard.window / INTERVAL) + 1 :], batch["v2"]]
            harmed, sent = (harmed + batch["v2"].errors, sent + TRAFFIC) if turn >= self.at else (0, 0)
            window = sum(recent[1:], recent[0]) if self.guard.error_rate else batch["v2"]
            seen = Seen({"v2": window}, batch, {"v2": Evidence(10_000)})
            looked = look(judged, rollout, trial_of(rollout, trial), seen, NOW + (turn + 1) * INTERVAL)
            rollout, trial = looked.rollout, looked.trial
            if looked.change and looked.change.what is What.ROLLED_BACK:
                return Ended(True, turn + 1 - self.at, harmed / max(1, sent))
        assert rollout.status in (Status.COMPLETE, Status.RAMPING)
        return Ended(False, 0, 0.0)


def made(chance: random.Random, requests: int, ways: Behaviour) -> Evidence:
    latencies = [0] * BUCKETS
    latencies[SLOW] = binomial(chance, requests, ways.slow)
    latencies[FAST] = requests - latencies[SLOW]
    scores = requests // 10
    total = min(float(scores), max(0.0, chance.gauss(scores * ways.score, 0.1 * math.sqrt(scores))))
    squares = scores * (0.01 + ways.score**2)
    return Evidence(requests, binomial(chance, requests, ways.errors), tuple(latencies), 0, scores, total, squares)


def many(simulated: Simulated, count: int, seed: int = SEED) -> Iterator[Ended]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    return (simulated.run(chance) for _ in range(count))


def false_alarms(guard: Guard, ways: Behaviour, count: int) -> float:
    return sum(ended.turned_back for ended in many(Simulated(guard, ways, ways), count)) / count


def test_of_a_thousand_rollouts_of_equal_versions_at_most_alpha_are_turned_back() -> None:
    assert false_alarms(TESTED, Behaviour(), 1_000) <= ALPHA


@pytest.mark.parametrize("errors", [0.001, 0.2])
def test_that_holds_however_often_versions_fail(errors: float) -> None:
    assert false_alarms(ERRORS_ALONE, Behaviour(errors), 200) <= ALPHA


def test_the_same_look_at_a_plain_difference_would_turn_back_far_more() -> None:
    """What the tests are for: a bound that is compared at every look is crossed by chance."""
    assert false_alarms(replace(WINDOW, error_rate=0.015, min_requests=50), Behaviour(), 100) > 0.5


@pytest.mark.parametrize("guard", [TESTED, WINDOW])
@pytest.mark.parametrize("at", [0, LOOKS + 5, 3 * LOOKS + 5])
def test_a_version_that_fails_one_request_in_ten_is_always_turned_back(guard: Guard, at: int) -> None:
    failing = Simulated(guard, Behaviour(), Behaviour(errors=0.1), at)
    assert all(ended.turned_back for ended in many(failing, 20))


def main() -> None:
    write = sys.stdout.write
    write("| guard | equal versions | turned back |\n|---|---|---|\n")
    for name, guard in (("compare", TESTED), ("error_rate: 2%", WINDOW)):
        for errors in (0.002, 0.01, 0.015):
            write(f"| {name} | fail {errors:.1%} | {false_alarms(guard, Behaviour(errors), 1_000):.1%} |\n")
    write("\n| guard | v2 | from | turned back | intervals until then (median, 90%) | errors of all requests |\n")
    for name, guard in (("compare", TESTED), ("error_rate: 2%", WINDOW)):
        for ways in (Behaviour(0.02), Behaviour(0.05), Behaviour(0.1), Behaviour(slow=0.2), Behaviour(score=0.7)):
            for share, at in (("1 %", 0), ("25 %", 2 * LOOKS + 5)):
                ended = list(many(Simulated(guard, Behaviour(), ways, at), 100))
                looks = sorted(one.looks for one in ended if one.turned_back) or [0]
                harmed = median([one.harmed for one in ended if one.turned_back] or [0.0])
                caught = sum(one.turned_back for one in ended) / len(ended)
                spread = f"{median(looks):.0f}, {looks[len(looks) * 9 // 10]}"
                write(f"| {name} | {ways} | {share} | {caught:.0%} | {spread} | {harmed:.2%} |\n")


if __name__ == "__main__":
    main()

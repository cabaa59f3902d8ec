"""What a version must not do while callers are moved to it, and how that is judged: by plain bounds on the last window,
and by tests that may be looked at after every interval (see `sequential`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extproc.core.evidence import NOTHING, Evidence, bucket_of
from extproc.core.sequential import (
    BEGINNING,
    Counted,
    Measured,
    Running,
    below_bound,
    lower_mean,
    over_bound,
    worse_share,
)

THOUSAND: Final = 1000.0  # tokens that a price is for
SLOWEST: Final = 0.05  # of requests may be slower than a p95
By = Mapping[str, Evidence]


@dataclass(frozen=True, slots=True)
class Comparison:
    """How much worse than the other versions the candidate may be: None where that is not compared. `slow` is the share
    of requests that take longer than `slower_than`, in seconds."""

    error_rate: float | None = None
    slow: float | None = None
    score: float | None = None
    slower_than: float = 0.0


@dataclass(frozen=True, slots=True)
class Guard:
    """Bounds are None where nothing is bounded. Shares are from 0 to 1, times in seconds; `score` is the least mean,
    `cost` the highest of a request. `sequential`: the bounds are tested rather than compared with the last window.
    `settle` is how long a request may take until the tests count it. `alpha` is for all tests of a run together."""

    error_rate: float | None = None
    p95: float | None = None
    score: float | None = None
    cost: float | None = None
    window: float = 60.0
    interval: float = 10.0
    min_requests: int = 200
    rolls_back: bool = True
    sequential: bool = False
    settle: float = 15.0
    alpha: float = 0.05
    compare: Comparison = Comparison()

    @property
    def tests(self) -> tuple[str, ...]:
        """The names of the tests of a run."""
        return tuple(name for name, (wanted, _) in TESTS.items() if wanted(self))


@dataclass(frozen=True, slots=True)
class Trial:
    """What is known of a run so far. `until`: how far the tests have counted; `breached`: when a bound was last
    broken."""

    run: int
    until: float
    breached: float = 0.0
    tests: Mapping[str, Running] = field(default_factory=dict)


def breaches(guard: Guard, candidate: Evidence, price: float) -> tuple[str, ...]:
    """Which plain bounds the last window breaks, each in a sentence. Too little evidence breaks none."""
    if guard.sequential or candidate.requests < guard.min_requests:
        bounded: list[tuple[str, float | None, float]] = []
    else:
        errors = candidate.errors / candidate.requests
        bounded = [
            ("error rate {:.2%} is above {:.2%}", guard.error_rate, errors),
            ("p95 {:.3g} s is above {:.3g} s", guard.p95, candidate.quantile(0.95)),
        ]
    if candidate.requests >= guard.min_requests:
        bounded.append(("cost {:.4g} is above {:.4g}", guard.cost, cost_of(candidate, price)))
    said = [text.format(value, bound) for text, bound, value in bounded if bound is not None and value > bound]
    if not guard.sequential and guard.score is not None and candidate.scores >= guard.min_requests:
        mean = candidate.score_sum / candidate.scores
        said += [f"mean score {mean:.3g} is below {guard.score:.3g}"] if mean < guard.score else []
    return tuple(said)


def tested(guard: Guard, trial: Trial, batch: By, candidate: str, until: float) -> Trial:
    """The tests, one turn on: `batch` is what happened since they counted last."""
    mine = batch.get(candidate, NOTHING)
    theirs = sum((seen for name, seen in batch.items() if name != candidate), NOTHING)
    tests = {name: TESTS[name][1](guard, trial.tests.get(name, BEGINNING), mine, theirs) for name in guard.tests}
    return Trial(trial.run, until, trial.breached, tests)


def accusations(guard: Guard, trial: Trial) -> tuple[str, ...]:
    """Which tests have given up the hypothesis that the version is no worse. They share alpha: together they accuse a
    version wrongly no more often than that."""
    names = guard.tests
    alpha = guard.alpha / max(1, len(names))
    sure = f"at {1 - guard.alpha:.0%} confidence"
    return tuple(f"{SAID[name]} {sure}" for name in names if trial.tests.get(name, BEGINNING).accuses(alpha))


def figures(seen: By, prices: Mapping[str, float]) -> dict[str, Any]:
    """By version, for people and records."""
    return {name: _figures(evidence, prices.get(name, 1.0)) for name, evidence in seen.items()}


def certainty(trial: Trial) -> dict[str, float]:
    """By test, what a bet against the version has made of 1."""
    return {name: float(f"{test.capital:.4g}") for name, test in trial.tests.items()}


def cost_of(seen: Evidence, price: float) -> float:
    """Of a request, on average."""
    return seen.tokens / THOUSAND * price / seen.requests if seen.requests else 0.0


def slow(seen: Evidence, bound: float) -> Counted:
    """Those that surely took longer: the bound's own bucket counts as fast."""
    return Counted(sum(seen.latencies), sum(seen.latencies[bucket_of(bound) + 1 :]))


def _figures(seen: Evidence, price: float) -> dict[str, Any]:
    p95 = seen.quantile(0.95)
    return {
        "requests": seen.requests,
        "errors": seen.errors,
        "error_rate": round(seen.errors / seen.requests, 6) if seen.requests else None,
        "p95_seconds": None if math.isnan(p95) else round(p95, 6),
        "tokens": seen.tokens,
        "cost": round(cost_of(seen, price), 6),
        "scores": seen.scores,
        "score": round(seen.score_sum / seen.scores, 6) if seen.scores else None,
    }


def _errors(seen: Evidence) -> Counted:
    return Counted(seen.requests, seen.errors)


def _scores(seen: Evidence) -> Measured:
    return Measured(seen.scores, seen.score_sum, seen.score_squares)


Turn = Callable[[Guard, Running, Evidence, Evidence], Running]
Test = tuple[Callable[[Guard], bool], Turn]
TESTS: Final[Mapping[str, Test]] = {
    "error_rate": (
        lambda guard: guard.sequential and guard.error_rate is not None,
        lambda guard, test, mine, _: over_bound(test, _errors(mine), guard.error_rate or 0.0),
    ),
    "p95": (
        lambda guard: guard.sequential and guard.p95 is not None,
        lambda guard, test, mine, _: over_bound(test, slow(mine, guard.p95 or 0.0), SLOWEST),
    ),
    "score": (
        lambda guard: guard.sequential and guard.score is not None,
        lambda guard, test, mine, _: below_bound(test, _scores(mine), guard.score or 0.0),
    ),
    "compare.error_rate": (
        lambda guard: guard.compare.error_rate is not None,
        lambda guard, test, mine, theirs: worse_share(
            test, _errors(mine), _errors(theirs), guard.compare.error_rate or 0.0
        ),
    ),
    "compare.slow": (
        lambda guard: guard.compare.slow is not None,
        lambda guard, test, mine, theirs: worse_share(
            test,
            slow(mine, guard.compare.slower_than),
            slow(theirs, guard.compare.slower_than),
            guard.compare.slow or 0.0,
        ),
    ),
    "compare.score": (
        lambda guard: guard.compare.score is not None,
        lambda guard, test, mine, theirs: lower_mean(test, _scores(mine), _scores(theirs), guard.compare.score or 0.0),
    ),
}  # fmt: skip
SAID: Final[Mapping[str, str]] = {
    "error_rate": "the error rate is above its bound",
    "p95": "more than 5% of requests are slower than p95",
    "score": "the mean score is below its bound",
    "compare.error_rate": "it fails more often than the other versions",
    "compare.slow": "it is slow more often than the other versions",
    "compare.score": "its mean score is lower than that of the other versions",
}

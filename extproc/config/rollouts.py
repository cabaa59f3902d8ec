"""The shape of what moves a model's callers by itself: `ramp`, and the `guard` that turns it back."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from extproc.config.agreements import SOMETHING, having, rules, some_of, where
from extproc.config.settings import Duration, Settings
from extproc.config.spelling import Spelled, written
from extproc.core.specs import is_in_hundredths

NO_PART: Final = "not a part of a hundred: write 2% or 0.5%"
PART: Final = r"(?:100(?:\.0{1,4})?|[0-9]{1,2}(?:\.[0-9]{1,4})?)%"
BOUNDS: Final = ("error_rate", "p95", "score", "cost", "compare")
COMPARED: Final = ("error_rate", "slow", "score")
NO_BOUND: Final = f"a guard guards something: write one of {', '.join(BOUNDS)}"
NO_COMPARISON: Final = f"write what is compared: one of {', '.join(COMPARED)}"
NOT_SLOW: Final = "slow compares how many requests take longer than a time: write slower_than: 250ms"
SHORT_WINDOW: Final = "a window is at least as long as the interval in which it is looked at"
NOT_GROWING: Final = "each step of a ramp is larger than the one before"
SURE: Final = "a confidence is from 50% to 99.99%"
WHOLE_SECONDS: Final = "evidence is kept by the second: write whole seconds, an hour at most"
LONGEST: Final = timedelta(hours=1)
MOST_STEPS: Final = 100


def parse_part(value: Any) -> float:
    """From 0 to 1."""
    if not isinstance(value, str) or not re.fullmatch(PART, value):
        raise ValueError(NO_PART)
    return float(value[:-1]) / 100


def _whole(value: timedelta) -> timedelta:
    if value % timedelta(seconds=1) or value > LONGEST:
        raise ValueError(WHOLE_SECONDS)
    return value


Part = Annotated[float, BeforeValidator(parse_part), written("part of a hundred", PART, NO_PART)]
Confidence = Annotated[str, Spelled(r"[5-9][0-9](?:\.[0-9]{1,2})?%", SURE, "part of a hundred")]
Seconds = Annotated[Duration, AfterValidator(_whole)]
Mean = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class GuardComparison(Settings):
    """How much worse than the other versions the candidate may be. By tests that may be looked at after every interval:
    they turn back a version that is no worse with the probability that `confidence` leaves, at most."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            some_of(COMPARED, NO_COMPARISON), where(having(slow=SOMETHING), having(slower_than=SOMETHING))
        )
    )

    error_rate: Part | None = None
    """By how much its error rate may exceed theirs, in points of a hundred: `0%`, `0.5%`."""
    slow: Part | None = None
    """By how much the part of its requests that are slow may exceed theirs, in points of a hundred."""
    slower_than: Duration | None = None
    """What slow means. Needed with `slow`."""
    score: Mean | None = None
    """By how much its mean score may be below theirs."""

    @model_validator(mode="after")
    def _compares_something(self) -> Self:
        if all(getattr(self, name) is None for name in COMPARED):
            raise ValueError(NO_COMPARISON)
        if self.slow is not None and self.slower_than is None:
            raise ValueError(NOT_SLOW)
        return self


class ModelGuard(Settings):
    """What the candidate must not do while it has callers, and what happens when it does."""

    model_config = ConfigDict(json_schema_extra=rules(some_of(BOUNDS, NO_BOUND)))

    error_rate: Part | None = None
    """The highest error rate: `2%`. Errors are 5xx, 429, no answer, and one that was broken off."""
    p95: Duration | None = None
    """The time within which 95 of 100 requests must be answered."""
    score: Mean | None = None
    """The lowest mean score, where the model's answers are scored."""
    cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The highest mean cost of a request: its tokens at the version's `price`."""
    window: Seconds = timedelta(minutes=1)
    """Over how much of the past the bounds are looked at."""
    interval: Seconds = timedelta(seconds=10)
    """How often it is looked."""
    min_requests: Annotated[int, Field(ge=1, le=1_000_000_000)] = 200
    """How many requests of the candidate a window must have, or scores where these are bounded, for a bound to be
    broken, and a step, for the ramp to go on."""
    on_breach: Literal["rollback", "hold"] = "rollback"
    """`rollback`: the candidate gets nobody, at once. `hold`: the ramp waits until a whole `hold` has passed without a
    breach."""
    judge: Literal["threshold", "sequential"] = "threshold"
    """How `error_rate`, `p95` and `score` are judged. `threshold`: the last window is over the bound. `sequential`: it
    is certain that the version is, at `confidence`: later, and not by chance."""
    compare: GuardComparison | None = None
    """Whether the candidate is worse than the other versions at the same time. Left out: only the bounds count."""
    confidence: Confidence = "95%"
    """For all tests of one rollout together: `95%` means that at most 5 of 100 versions that are no worse are turned
    back by them."""
    settle: Seconds = timedelta(seconds=15)
    """How long a request may take until the tests count it. One that takes longer is missing there; the window counts
    it when it ends."""

    @model_validator(mode="after")
    def _guards_something(self) -> Self:
        if all(getattr(self, name) is None for name in BOUNDS):
            raise ValueError(NO_BOUND)
        if self.window < self.interval:
            raise ValueError(SHORT_WINDOW)
        return self


class ModelRamp(Settings):
    """How the candidate gets its callers, step by step."""

    steps: Annotated[
        list[Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]], Field(min_length=1, max_length=MOST_STEPS)
    ]
    """The candidate's shares in percent, in steps of 0.01, each larger than the one before."""
    hold: Duration = timedelta(minutes=10)
    """How long each step is kept. With a guard, also until the step has seen `min_requests`."""
    start: Literal["manual", "automatic"] = "manual"
    """`manual`: by `extproc rollout start`. `automatic`: as soon as a file takes effect in which the model's
    versions, weights or candidate are other ones."""

    @field_validator("steps")
    @classmethod
    def _grow(cls, value: list[float]) -> list[float]:
        if any(after <= before for before, after in pairwise(value)):
            raise ValueError(NOT_GROWING)
        if not all(map(is_in_hundredths, value)):
            raise ValueError("weights are percentages in steps of 0.01")
        return value

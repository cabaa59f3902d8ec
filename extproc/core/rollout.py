"""How the callers of a model are shared out among its versions over time, and what may be done about it.

Everything here is a value: who changes something gets the next state and a record of the change. Time is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from extproc.core.guard import Guard
from extproc.core.shares import Shares
from extproc.core.specs import HUNDREDTHS

WHOLE: Final = 100 * HUNDREDTHS
OPERATOR: Final = "operator"
AUTOMATIC: Final = "automatic"
FILE: Final = "file"


class RolloutConflict(Exception):
    """What was asked for does not fit what is there."""


class Status(StrEnum):
    FIXED = "fixed"  # nothing moves by itself
    RAMPING = "ramping"
    HELD = "held"  # the ramp waits, because the guard saw something
    PAUSED = "paused"  # the ramp waits, because an operator said so
    COMPLETE = "complete"  # the candidate is what the model is: only an operator turns back
    ROLLED_BACK = "rolled back"


class What(StrEnum):
    PLANNED = "planned"
    SET = "set"
    STARTED = "started"
    STEPPED = "stepped"
    PAUSED = "paused"
    HELD = "held"
    COMPLETED = "completed"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"


MOVING: Final = (Status.RAMPING, Status.HELD)


@dataclass(frozen=True, slots=True)
class Ramp:
    """`steps` are the candidate's shares in hundredths of a percent, each larger than the one before; `hold` is for how
    many seconds each is kept. `starts`: by itself, as soon as a file is new."""

    steps: tuple[int, ...]
    hold: float
    starts: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """What the file says of one model. `planned` are its weights in hundredths of a percent, `prices` what a thousand
    tokens of each version cost."""

    model: str
    candidate: str
    planned: Mapping[str, int]
    guard: Guard | None = None
    ramp: Ramp | None = None
    prices: Mapping[str, float] = field(default_factory=dict)

    @property
    def interval(self) -> float:
        return self.guard.interval if self.guard else 1.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """The state of one model. `generation` counts its changes; `run` is the one with which what goes on now began, at
    `begun`, and evidence from before says nothing about it. `since` is when the shares changed last. `planned` are the
    weights of the file that was applied last, at `applied`; `others` is the last mix of the versions that are no
    candidate."""

    model: str
    candidate: str
    shares: Mapping[str, int]
    status: Status
    generation: int
    run: int
    begun: float
    since: float
    planned: Mapping[str, int]
    applied: float
    others: Mapping[str, int]

    @property
    def share(self) -> int:
        """The candidate's."""
        return self.shares.get(self.candidate, 0)

    @property
    def is_watched(self) -> bool:
        """Whether the guard may turn it back: somebody has the candidate, and there is something to turn back to. What
        has been the whole model for long is not left by itself, for versions that nobody has are taken down."""
        settled = self.status is Status.COMPLETE or (self.status is Status.FIXED and self.share == WHOLE)
        return self.share > 0 and not settled

    @property
    def in_force(self) -> Shares:
        return Shares(self.generation, self.shares)


@dataclass(frozen=True, slots=True)
class Change:
    """The record of one change: who, what, from where to where, why, and on what evidence."""

    at: float
    model: str
    generation: int
    what: What
    by: str
    reason: str
    before: Mapping[str, int]
    after: Mapping[str, int]
    status: Status
    evidence: Mapping[str, Any] = field(default_factory=dict)


Changed = tuple[Rollout, Change]


def fits(rules: Rules, rollout: Rollout) -> bool:
    """Whether the state came of these weights and this candidate."""
    return rollout.candidate == rules.candidate and dict(rollout.planned) == dict(rules.planned)


def knows(rules: Rules, rollout: Rollout) -> bool:
    """Whether the state speaks of the same versions, whatever their weights."""
    return set(rollout.shares) == set(rules.planned)


def changed(
    rollout: Rollout,
    what: What,
    by: str,
    reason: str,
    now: float,
    *,
    shares: Mapping[str, int],
    status: Status,
    new: bool = True,
    told: Mapping[str, Any] | None = None,
) -> Changed:
    """`new`: what goes on from now is another run, about which nothing is known yet."""
    generation = rollout.generation + 1
    others = {name: share for name, share in shares.items() if name != rollout.candidate}
    after = replace(
        rollout,
        shares=dict(shares),
        status=status,
        generation=generation,
        run=generation if new else rollout.run,
        begun=now if new else rollout.begun,
        since=now,
        others=others if any(others.values()) else rollout.others,
    )
    return after, Change(
        now, rollout.model, generation, what, by, reason, rollout.shares, after.shares, status, told or {}
    )


def shared_out(rollout: Rollout, share: int) -> dict[str, int]:
    """The candidate gets this share, the others the rest, in their last mix."""
    mix = {name: rollout.others.get(name, 0) for name in rollout.shares if name != rollout.candidate}
    shares = {**spread(WHOLE - share, mix), rollout.candidate: share}
    return {name: shares[name] for name in rollout.shares}


def spread(total: int, mix: Mapping[str, int]) -> dict[str, int]:
    """In whole hundredths, by the largest remainders; where nobody has anything, the first gets it all."""
    sum_of_mix = sum(mix.values())
    if sum_of_mix == 0:
        return {name: total if place == 0 else 0 for place, name in enumerate(mix)}
    given = {name: total * share // sum_of_mix for name, share in mix.items()}
    left = total - sum(given.values())
    by_remainder = sorted(mix, key=lambda name: -(total * mix[name] % sum_of_mix))
    for name in by_remainder[:left]:
        given[name] += 1
    return given

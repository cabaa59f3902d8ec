"""What is done to a rollout: by a file that takes effect, by an operator, by whoever turns back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from extproc.core.rollout import (
    FILE,
    MOVING,
    OPERATOR,
    WHOLE,
    Change,
    Changed,
    Ramp,
    Rollout,
    RolloutConflict,
    Rules,
    Status,
    What,
    changed,
    shared_out,
    spread,
)


def planned(rules: Rules, before: Rollout | None, now: float) -> Changed:
    """A file takes effect: its weights, and the ramp where that starts by itself."""
    generation = before.generation + 1 if before else 1
    others = {name: share for name, share in rules.planned.items() if name != rules.candidate}
    rollout = Rollout(
        rules.model, rules.candidate, dict(rules.planned), Status.FIXED, generation, generation, now, now,
        dict(rules.planned), now, others if any(others.values()) else {},
    )  # fmt: skip
    if rules.ramp and rules.ramp.starts and rollout.share < rules.ramp.steps[-1]:
        share = max(rollout.share, rules.ramp.steps[0])
        rollout = replace(rollout, status=Status.RAMPING, shares=shared_out(rollout, share))
    said = "the file's weights" if before is None else "another file"
    shares = before.shares if before else {}
    return rollout, Change(
        now, rules.model, generation, What.PLANNED, FILE, said, shares, rollout.shares, rollout.status
    )


def with_shares(rollout: Rollout, wanted: Mapping[str, int], reason: str, now: float) -> Changed:
    """Those versions get exactly that, the others the rest, as they share it now. A ramp under way waits."""
    unknown = [name for name in wanted if name not in rollout.shares]
    if unknown:
        raise RolloutConflict(f"{rollout.model} has the versions {', '.join(rollout.shares)} and no other")
    rest = WHOLE - sum(wanted.values())
    others = {name: share for name, share in rollout.shares.items() if name not in wanted}
    if rest < 0 or (rest and not others) or min(wanted.values(), default=-1) < 0:
        raise RolloutConflict("shares are from 0 to 100 percent and add up to 100; unnamed versions get the rest")
    mix = others if any(others.values()) else {name: rollout.others.get(name, 0) for name in others}
    shares = {**spread(rest, mix), **wanted}
    ordered = {name: shares[name] for name in rollout.shares}
    status = Status.PAUSED if rollout.status in (*MOVING, Status.PAUSED) else Status.FIXED
    return changed(rollout, What.SET, OPERATOR, reason, now, shares=ordered, status=status)


def started(rollout: Rollout, ramp: Ramp | None, reason: str, now: float) -> Changed:
    """From the share that the candidate has, or the first step: what was paused goes on where it was."""
    if ramp is None:
        raise RolloutConflict(f"{rollout.model} has no ramp: write models: {{{rollout.model}: {{ramp: ...}}}}")
    if rollout.status in MOVING:
        raise RolloutConflict(f"the ramp of {rollout.model} is under way")
    if rollout.share >= ramp.steps[-1]:
        raise RolloutConflict(f"{rollout.candidate} has all that the ramp leads to")
    share = max(rollout.share, ramp.steps[0])
    return changed(
        rollout, What.STARTED, OPERATOR, reason, now,
        shares=shared_out(rollout, share), status=Status.RAMPING, new=rollout.status is not Status.PAUSED,
    )  # fmt: skip


def paused(rollout: Rollout, reason: str, now: float) -> Changed:
    if rollout.status not in MOVING:
        raise RolloutConflict(f"no ramp of {rollout.model} is under way")
    return changed(rollout, What.PAUSED, OPERATOR, reason, now, shares=rollout.shares, status=Status.PAUSED, new=False)


def promoted(rollout: Rollout, ramp: Ramp | None, reason: str, now: float) -> Changed:
    """Everything at once. Where there is a ramp it is held as a step is, and watched meanwhile."""
    if rollout.share == WHOLE:
        raise RolloutConflict(f"{rollout.candidate} has everything already")
    status = Status.RAMPING if ramp is not None else Status.COMPLETE
    return changed(rollout, What.PROMOTED, OPERATOR, reason, now, shares=shared_out(rollout, WHOLE), status=status)


def rolled_back(
    rollout: Rollout, by: str, reason: str, now: float, evidence: Mapping[str, Any] | None = None
) -> Changed:
    if rollout.share == 0 and rollout.status is Status.ROLLED_BACK:
        raise RolloutConflict(f"{rollout.candidate} has nothing already")
    shares = shared_out(rollout, 0)
    return changed(rollout, What.ROLLED_BACK, by, reason, now, shares=shares, status=Status.ROLLED_BACK, told=evidence)

"""One look at a rollout: the guard judges, and where it has nothing to say, the ramp goes on when its time has come.

No clock and no store: what happened is told, and so is what time it is. Without evidence nothing moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from extproc.core.evidence import NOTHING
from extproc.core.guard import By, Guard, Trial, accusations, breaches, certainty, figures, tested
from extproc.core.rollout import (
    AUTOMATIC,
    MOVING,
    Change,
    Changed,
    Ramp,
    Rollout,
    Rules,
    Status,
    What,
    changed,
    shared_out,
)
from extproc.core.rollout_changes import rolled_back

Stretch = tuple[float, float]
NO_REASON: Final = ""


@dataclass(frozen=True, slots=True)
class Needed:
    """Which stretches of time a look must know: the guard's window, what the tests have not counted, the whole step."""

    window: Stretch
    batch: Stretch
    step: Stretch


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened in them."""

    window: By
    batch: By
    step: By


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look came to. `change` where the state is another one."""

    rollout: Rollout
    trial: Trial
    change: Change | None = None


def trial_of(rollout: Rollout, before: Trial | None) -> Trial:
    """Of this run; what is known of an earlier one is forgotten."""
    if before is not None and before.run == rollout.run:
        return before
    return Trial(rollout.run, float(int(rollout.begun) + 1))  # requests of that very second may be of earlier shares


def needed(rules: Rules, rollout: Rollout, trial: Trial, now: float) -> Needed:
    """Slots of evidence are whole seconds, by when requests began. The tests wait until a request has had its time to
    end, since no slot is counted twice; the window takes what is there, for it is looked at anew each time."""
    guard = rules.guard or Guard()
    begun = float(int(rollout.begun) + 1)
    settled = max(trial.until, float(int(now - guard.settle)))
    return Needed((max(begun, now - guard.window), now), (trial.until, settled), (float(int(rollout.since) + 1), now))


def look(rules: Rules, rollout: Rollout, trial: Trial, seen: Seen | None, now: float) -> Looked:
    """`seen` is None where nobody could say what happened: then nothing moves."""
    if seen is None:
        return Looked(rollout, trial)
    guard = rules.guard
    if guard is not None and rollout.is_watched:
        trial = tested(guard, trial, seen.batch, rollout.candidate, needed(rules, rollout, trial, now).batch[1])
        price = rules.prices.get(rollout.candidate, 1.0)
        broken = (
            *breaches(guard, seen.window.get(rollout.candidate, NOTHING), price),
            *accusations(guard, trial),
        )
        if broken:
            return _broken(rules, guard, rollout, trial, seen, "; ".join(broken), now)
    if rules.ramp is not None and rollout.status in MOVING:
        moved = _moved(rules, rules.ramp, rollout, trial, seen, now)
        if moved is not None:
            return Looked(moved[0], trial, moved[1])
    return Looked(rollout, trial)


def waits_for(rules: Rules, rollout: Rollout, trial: Trial | None, seen: By, now: float) -> str:
    """Why the ramp does not go on yet, for people; empty where it does not move at all."""
    if rules.ramp is None or rollout.status not in MOVING:
        return NO_REASON
    left = max(rollout.since, trial.breached if trial else 0.0) + rules.ramp.hold - now
    if left > 0:
        return f"{left:.0f} s of the hold are left"
    there = seen.get(rollout.candidate, NOTHING).requests
    return f"{there} of {rules.guard.min_requests} requests" if rules.guard and there < rules.guard.min_requests else ""


def told(rules: Rules, trial: Trial, seen: By, stretch: Stretch) -> Mapping[str, Any]:
    """The evidence of a record."""
    return {
        "since": round(stretch[0], 3),
        "until": round(stretch[1], 3),
        "versions": figures(seen, rules.prices),
        "tests": certainty(trial),
    }


def _broken(rules: Rules, guard: Guard, rollout: Rollout, trial: Trial, seen: Seen, why: str, now: float) -> Looked:
    evidence = told(rules, trial, seen.window, needed(rules, rollout, trial, now).window)
    trial = replace(trial, breached=now)
    if guard.rolls_back:
        return Looked(*_reordered(rolled_back(rollout, AUTOMATIC, why, now, evidence), trial))
    if rollout.status is not Status.RAMPING:
        return Looked(rollout, trial)
    held = changed(
        rollout, What.HELD, AUTOMATIC, why, now,
        shares=rollout.shares, status=Status.HELD, new=False, told=evidence,
    )  # fmt: skip
    return Looked(*_reordered(held, trial))


def _moved(rules: Rules, ramp: Ramp, rollout: Rollout, trial: Trial, seen: Seen, now: float) -> Changed | None:
    if now - max(rollout.since, trial.breached) < ramp.hold:
        return None
    if rules.guard and seen.step.get(rollout.candidate, NOTHING).requests < rules.guard.min_requests:
        return None  # a step that nobody took proves nothing
    evidence = told(rules, trial, seen.step, needed(rules, rollout, trial, now).step)
    further = [step for step in ramp.steps if step > rollout.share]
    if not further:
        return changed(
            rollout, What.COMPLETED, AUTOMATIC, "the last step was held", now,
            shares=rollout.shares, status=Status.COMPLETE, new=False, told=evidence,
        )  # fmt: skip
    return changed(
        rollout, What.STEPPED, AUTOMATIC, "the step was held", now,
        shares=shared_out(rollout, further[0]), status=Status.RAMPING, new=False, told=evidence,
    )  # fmt: skip


def _reordered(done: Changed, trial: Trial) -> tuple[Rollout, Trial, Change]:
    return done[0], trial, done[1]

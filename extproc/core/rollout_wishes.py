"""What an operator may ask of a rollout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from extproc.core.rollout import OPERATOR, Changed, Rollout, Rules
from extproc.core.rollout_changes import paused, promoted, rolled_back, started, with_shares


class Action(StrEnum):
    SET = "set"
    START = "start"
    PAUSE = "pause"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True)
class Wish:
    """`shares` are for SET, in hundredths of a percent. With a `generation` only where that is the last one: whoever
    looked before is told that somebody else was quicker."""

    action: Action
    shares: Mapping[str, int] = field(default_factory=dict)
    reason: str = ""
    generation: int | None = None


def granted(wish: Wish, rules: Rules, rollout: Rollout, now: float) -> Changed:
    """Raises RolloutConflict."""
    if wish.action is Action.SET:
        return with_shares(rollout, wish.shares, wish.reason, now)
    if wish.action is Action.START:
        return started(rollout, rules.ramp, wish.reason, now)
    if wish.action is Action.PAUSE:
        return paused(rollout, wish.reason, now)
    if wish.action is Action.PROMOTE:
        return promoted(rollout, rules.ramp, wish.reason, now)
    return rolled_back(rollout, OPERATOR, wish.reason, now)

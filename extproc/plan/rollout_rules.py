"""What moves the callers of models by itself, in a line: for whoever reads a plan."""

from __future__ import annotations

from collections.abc import Iterator

from extproc.core.guard import Guard
from extproc.core.rollout import Ramp, Rules
from extproc.core.specs import HUNDREDTHS
from extproc.plan.description import RolloutDescription
from extproc.plan.model import Plan


def rollout_descriptions(plan: Plan) -> Iterator[RolloutDescription]:
    """Of those models that have a ramp or a guard."""
    kept = "a file" if (plan.sidecar.rollouts or "").startswith("/") else "Redis"
    for model, rules in plan.rollouts.items():
        if rules.ramp is not None or rules.guard is not None:
            steps = tuple(step / HUNDREDTHS for step in rules.ramp.steps) if rules.ramp else ()
            yield RolloutDescription(model, rules.candidate, steps, rollout_rule(rules), kept)


def rollout_rule(rules: Rules) -> str:
    said = [_ramp(rules.ramp)] if rules.ramp else []
    said += [_guard(rules.guard)] if rules.guard else []
    return f"{rules.model}: {rules.candidate}, {'; '.join(said)}"


def _ramp(ramp: Ramp) -> str:
    steps = ", ".join(f"{step / HUNDREDTHS:g}" for step in ramp.steps)
    by = "by itself" if ramp.starts else "when an operator starts it"
    return f"ramp {steps} %, each {_time(ramp.hold)}, {by}"


def _guard(guard: Guard) -> str:
    done = "rolled back" if guard.rolls_back else "held"
    bounds = ", ".join(_bounds(guard))
    compared = ", ".join(_compared(guard))
    over = f" in {_time(guard.window)}" if bounds and not guard.sequential else ""
    parts = [f"{bounds}{over}" if bounds else "", f"worse than the others by {compared}" if compared else ""]
    return f"{done} where {' or '.join(filter(None, parts))}, looked at every {_time(guard.interval)}"


def _bounds(guard: Guard) -> Iterator[str]:
    if guard.error_rate is not None:
        yield f"errors > {guard.error_rate * 100:g}%"
    if guard.p95 is not None:
        yield f"p95 > {_time(guard.p95)}"
    if guard.score is not None:
        yield f"score < {guard.score:g}"
    if guard.cost is not None:
        yield f"cost > {guard.cost:g}"


def _compared(guard: Guard) -> Iterator[str]:
    compare = guard.compare
    if compare.error_rate is not None:
        yield f"{compare.error_rate * 100:g} points of errors"
    if compare.slow is not None:
        yield f"{compare.slow * 100:g} points slower than {_time(compare.slower_than)}"
    if compare.score is not None:
        yield f"{compare.score:g} of score"


def _time(seconds: float) -> str:
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds * 1000:g}ms"

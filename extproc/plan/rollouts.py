"""What a file says of rollouts, as it is meant."""

from __future__ import annotations

from extproc.config.model import Config, Model
from extproc.config.rollouts import GuardComparison, ModelGuard, ModelRamp, parse_part
from extproc.core.guard import Comparison, Guard
from extproc.core.rollout import Ramp, Rules
from extproc.core.specs import HUNDREDTHS


def rules_of(config: Config) -> dict[str, Rules]:
    return {name: _rules(name, model) for name, model in config.models.items()}


def moves(config: Config) -> bool:
    """Whether some model's callers may be moved by itself."""
    return any(model.guard is not None or model.ramp is not None for model in config.models.values())


def _rules(name: str, model: Model) -> Rules:
    return Rules(
        model=name,
        candidate=model.candidate or list(model.versions)[-1],
        planned={version: _hundredths(item.weight) for version, item in model.versions.items()},
        guard=_guard(model.guard) if model.guard else None,
        ramp=_ramp(model.ramp) if model.ramp else None,
        prices={version: item.price for version, item in model.versions.items()},
    )


def _guard(written: ModelGuard) -> Guard:
    return Guard(
        error_rate=written.error_rate,
        p95=written.p95.total_seconds() if written.p95 else None,
        score=written.score,
        cost=written.cost,
        window=written.window.total_seconds(),
        interval=written.interval.total_seconds(),
        min_requests=written.min_requests,
        rolls_back=written.on_breach == "rollback",
        sequential=written.judge == "sequential",
        settle=written.settle.total_seconds(),
        alpha=1 - parse_part(written.confidence),
        compare=_comparison(written.compare) if written.compare else Comparison(),
    )


def _comparison(written: GuardComparison) -> Comparison:
    slower_than = written.slower_than.total_seconds() if written.slower_than else 0.0
    return Comparison(written.error_rate, written.slow, written.score, slower_than)


def _ramp(written: ModelRamp) -> Ramp:
    steps = tuple(_hundredths(step) for step in written.steps)
    return Ramp(steps, written.hold.total_seconds(), starts=written.start == "automatic")


def _hundredths(percent: float) -> int:
    return round(percent * HUNDREDTHS)

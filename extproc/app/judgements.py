"""One line for each policy of a route: what it demands, where the file says so, and what it decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from extproc.app.explanation import Judgement
from extproc.app.project import Project
from extproc.core.decision import Continue, Decision, LocalReply
from extproc.core.outcome import Outcome, Step
from extproc.core.policy import Phase
from extproc.core.problems import Path
from extproc.core.specs import LIMIT, LimitSpec
from extproc.plan.model import PolicySpec, RoutePlan
from extproc.plan.rules import authentication_rule, rule_of

MICROSECOND = 1_000


def judgements(project: Project, route: RoutePlan, outcome: Outcome, detail: str) -> Sequence[Judgement]:
    """Every policy in its order: those that answered, the one that failed, those not reached, those for the answer."""
    asked = list(_asked(project, route))
    reason = outcome.decision.reason if isinstance(outcome.decision, LocalReply) else ""
    failed = replace(Judgement("", "", "", "error"), reason=reason, said=detail)
    answered = [_answered(one, step, failed) for one, step in zip(asked, outcome.steps, strict=False)]
    rest = asked[len(answered) :]
    later = [_unasked(project, spec) for spec in route.policies if Phase.REQUEST not in spec.phases]
    return [
        *answered,
        *(replace(one, decision="not asked") for one in rest),
        *(replace(one, decision="later") for one in later),
    ]


def _asked(project: Project, route: RoutePlan) -> Sequence[Judgement]:
    named = [_unasked(project, spec) for spec in route.policies if Phase.REQUEST in spec.phases]
    if route.authentication:
        place = project.loaded.problem(_own_or_default(project, route, "authenticate"), "")
        named.insert(0, Judgement("authenticate", authentication_rule(route), f"{place.file}:{place.line}", ""))
    if route.placement.descriptors:
        own = LimitSpec({}, by_tier=False, own=route.placement.descriptors)
        named.append(_unasked(project, PolicySpec(LIMIT, own, at=_own_or_default(project, route, "limits"))))
    return named


def _unasked(project: Project, spec: PolicySpec) -> Judgement:
    place = project.loaded.problem(spec.at, "")
    return Judgement(spec.kind, rule_of(spec), f"{place.file}:{place.line}", "")


def _own_or_default(project: Project, route: RoutePlan, key: str) -> Path:
    index = project.plan.routes.index(route)
    own = getattr(project.loaded.config.routes[index], key) is not None
    return ("routes", index, key) if own else ("defaults", key)


def _answered(one: Judgement, step: Step, failed: Judgement) -> Judgement:
    took = step.duration / MICROSECOND
    if step.decision is None:
        return replace(failed, policy=one.policy, rule=one.rule, at=one.at, duration_us=took)
    if isinstance(step.decision, LocalReply):
        said = ", ".join(_facts(step.decision))
        return replace(one, decision="refuse", reason=step.decision.reason, said=said, duration_us=took)
    told = _said(step.decision) if isinstance(step.decision, Continue) else []
    return replace(one, decision="continue", said=", ".join(told), duration_us=took)


def _said(decision: Continue) -> list[str]:
    """What it found out, in the order in which it matters to whoever asks why."""
    who = decision.consumer
    said = [f"{who.id} ({who.tier or 'no tier'}) by {who.method}"] if who else []
    said += _facts(decision)
    said += [f"upstream {decision.upstream}"] if decision.upstream else []
    return said + [f"{name}: {value}" for name, value in decision.response.set if name == "ratelimit"]


def _facts(decision: Decision) -> list[str]:
    return [f"{name}={value}" for name, value in decision.facts.items()]

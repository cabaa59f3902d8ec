"""What a policy of a route demands, in a line: for whoever reads a plan or asks why a request was refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from types import MappingProxyType
from typing import Any, Final

from extproc.core.limits import Kind, Limit
from extproc.core.metering import Meter
from extproc.core.models import NamedBy
from extproc.core.specs import (
    HUNDREDTHS,
    AccessRule,
    AdaptSpec,
    AggregateSpec,
    AuthorizeSpec,
    ChooseSpec,
    LimitSpec,
    ModelsSpec,
    PartSpec,
    Version,
    VersionSpec,
)
from extproc.core.versions import ApiVersion, Status, spell_moment
from extproc.plan.meter import meter_brief, meter_rule
from extproc.plan.model import Plan, PolicySpec, RoutePlan, ToRedirect
from extproc.plan.shared import SharedLimit
from extproc.plan.times import upstreams_of

SHORT = {1: "s", 60: "minute", 3_600: "hour", 86_400: "day"}


def authentication_rule(route: RoutePlan) -> str:
    return " or ".join(route.authentication)


def forward_rule(plan: Plan, route: RoutePlan) -> str:
    """What upstreams get besides the plain headers; nothing where that is all."""
    shown = [one for one in upstreams_of(plan, route) if one.credential is not None]
    asked = bool(route.authentication) and not isinstance(route.target, ToRedirect)
    said = ["a signed token"] if asked and route.forward.signed else []
    said += ["the client's credential"] if asked and route.forward.credentials else []
    return ", ".join([*said, *(f"{one.credential.header} of {one.name}" for one in shown if one.credential)])


def rule_of(spec: PolicySpec) -> str:
    """The settings of one policy as its reader would say them. Secrets are a type that prints redacted."""
    said = RULES.get(type(spec.settings))
    return said(spec.settings) if said else _written(spec.settings)


def brief_of(spec: PolicySpec) -> str:
    """What of it fits into a table: tiers and versions are told elsewhere, a kind's own settings in full only."""
    said = BRIEFS.get(type(spec.settings))
    return said(spec.settings) if said else ""


def _written(settings: object) -> str:
    dump = getattr(settings, "model_dump_json", None)
    written = json.loads(dump(exclude_defaults=True, by_alias=True)) if callable(dump) else {}
    return ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in written.items())


def _limits(spec: LimitSpec) -> str:
    tiers = [f"tier {name}: {limit_rules(limits)}" for name, limits in spec.tiers.items()]
    return ", ".join([*tiers, *map(limit_rule, spec.own)])


def _limits_in_brief(spec: LimitSpec) -> str:
    return ", ".join([*(["tier"] if spec.by_tier else []), *map(limit_rule, spec.own)])


def _models(spec: ModelsSpec) -> str:
    said = ", or ".join(map(model_rule, spec.models))
    return said if spec.named_by is NamedBy.ROUTE else f"by {source_rule(spec)}: {said}"


def _models_in_brief(spec: ModelsSpec) -> str:
    sticky = ", ".join(dict.fromkeys(model.sticky for model in spec.models))
    named = "" if spec.named_by is NamedBy.ROUTE else f"the model by {source_rule(spec)}, "
    return f"{named}a version, sticky by {sticky}"


def _parts(spec: AggregateSpec) -> str:
    return ", ".join(map(part_rule, spec.parts))


def _parts_in_brief(spec: AggregateSpec) -> str:
    return f"of {', '.join(part.name for part in spec.parts)}"


def _version(spec: VersionSpec) -> str:
    return version_rule(spec.version)


def _adapted(spec: AdaptSpec) -> str:
    return f"{spec.served} as {spec.spoken}"


def part_rule(part: PartSpec) -> str:
    """`picks: GET /recommend of recommend-v1 within 0.3 s, optional`."""
    said = f"{part.name}: {part.method} {part.path} of {part.upstream} within {part.timeout:g} s"
    said += f", {part.retries} retries" if part.retries else ""
    said += f", where {part.when}" if part.when else ""
    return said + (", optional" if part.optional else "")


def source_rule(spec: ModelsSpec) -> str:
    """`body`, `header x-model`, `path /models/{model}`; and for whom nothing is named."""
    return " ".join(filter(None, (spec.named_by.value, spec.of))) + (f" or {spec.otherwise}" if spec.otherwise else "")


def model_rule(spec: ChooseSpec) -> str:
    """`recommend: v1 90 %, v2 10 %; sticky by consumer`, and what else decides, in the order in which it does."""
    said = [f"for {', '.join(spec.tiers)}"] if spec.tiers else []
    said += [f"pin by {spec.pin.header} of {', '.join(spec.pin.tiers)}"] if spec.pin else []
    said += [f"{rule.version} where {rule.when}" for rule in spec.rules]
    shares = ", ".join(map(_share, spec.versions))
    said += [f"sticky by {spec.sticky}"]
    said += [f"shadow {spec.shadow.version} {spec.shadow.share / HUNDREDTHS:g} %"] if spec.shadow else []
    said += [f"fallback to {', '.join(spec.fallback.to)}"] if spec.fallback else []
    return f"{spec.model}: {shares}; {'; '.join(said)}"


def _share(version: Version) -> str:
    allowed = f" for {', '.join(version.tiers)}" if version.tiers else ""
    return f"{version.name} {version.weight / HUNDREDTHS:g} %{allowed}"


def version_rule(version: ApiVersion) -> str:
    """`v1, deprecated from 2026-10-01, gone from 2027-04-01, then v2`."""
    said = [version.name, *(["gone"] if version.status is Status.SUNSET else [])]
    said += [f"deprecated from {spell_moment(version.deprecated)}"] if version.deprecated is not None else []
    said += [f"gone from {spell_moment(version.sunset)}"] if version.sunset is not None else []
    said += ["with brown-outs"] if version.brown_outs else []
    return ", ".join([*said, *([f"then {version.successor}"] if version.successor else [])])


def access_rule(spec: AuthorizeSpec) -> str:
    """`[0] scopes a, b; tiers free or [1] groups staff`; a condition alone is its own text."""
    said = [_access(rule) for rule in spec.rules]
    return " or ".join(f"[{index}] {text}" for index, text in enumerate(said)) if spec.any_of else said[0]


def _access(rule: AccessRule) -> str:
    """Members in the order in which they are judged."""
    lists = {
        "not from": rule.deny_addresses,
        "from": rule.addresses,
        "consumers": rule.consumers,
        "tiers": rule.tiers,
        "groups": rule.groups,
        "scopes": rule.scopes,
        "any scope of": rule.any_scope,
    }
    said = [f"{word} {', '.join(map(str, values))}" for word, values in lists.items() if values]
    said += [f"claim {name} {', '.join(map(json.dumps, values))}" for name, values in rule.claims.items()]
    return "; ".join([*said, *([rule.when] if rule.when else [])])


def shared_rule(shared: SharedLimit) -> str:
    """With the bound that is promised, tier by tier."""
    said = [
        f"{f'tier {name}: ' if name else ''}{limit_rule(quota.limit)}, judged by Envoy: {quota.bound}"
        for name, quota in shared.quotas.items()
    ]
    return ", ".join(said)


def shared_brief(shared: SharedLimit) -> str:
    whose = "tier" if shared.by_tier else limit_rule(shared.quotas[""].limit)
    envoys = max((quota.envoys for quota in shared.quotas.values()), default=0)
    return f"{whose}, judged by Envoy, shared by {envoys}"


def limit_rules(limits: Iterable[Limit]) -> str:
    return ", ".join(map(limit_rule, limits))


def limit_rule(limit: Limit) -> str:
    """`10/s per consumer, burst 20`; `10000 in each month per consumer`; `4 at once per header x-team, in shadow`."""
    said = f"{_amount(limit)} per {limit.per.value}{f' {limit.of}' if limit.of else ''}"
    said += f", burst {limit.burst}" if limit.kind is Kind.RATE and limit.burst != limit.count else ""
    return said + (", in shadow" if limit.shadow else "")


def _amount(limit: Limit) -> str:
    count = f"{limit.count} {limit.unit}" if limit.unit else str(limit.count)
    if limit.kind is Kind.CONCURRENCY:
        return f"{count} at once"
    if limit.calendar is not None:
        zone = "" if limit.calendar.zone is UTC else f" of {limit.calendar.zone}"
        return f"{count} in each {limit.calendar.unit.value}{zone}"
    period = SHORT.get(limit.period, f"{limit.period} s")
    return (
        f"{count} in any {'second' if period == 's' else period}" if limit.kind is Kind.SLIDING else f"{count}/{period}"
    )


# By what the settings are; what a kind of somebody else's has is told as it is written.
RULES: Final[Mapping[type, Callable[[Any], str]]] = MappingProxyType(
    {
        AuthorizeSpec: access_rule,
        LimitSpec: _limits,
        ModelsSpec: _models,
        AggregateSpec: _parts,
        Meter: meter_rule,
        VersionSpec: _version,
        AdaptSpec: _adapted,
    }
)
BRIEFS: Final[Mapping[type, Callable[[Any], str]]] = MappingProxyType(
    {
        AuthorizeSpec: access_rule,
        LimitSpec: _limits_in_brief,
        ModelsSpec: _models_in_brief,
        AggregateSpec: _parts_in_brief,
        Meter: meter_brief,
        VersionSpec: _version,
        AdaptSpec: _adapted,
    }
)

"""What a policy of a route demands, in a line: for whoever reads a plan or asks why a request was refused."""

from __future__ import annotations

import json

from extproc.core.limits import Limit
from extproc.core.specs import HUNDREDTHS, ChooseSpec, LimitSpec
from extproc.plan.model import PolicySpec, RoutePlan

SHORT = {1: "s", 60: "minute", 3_600: "hour", 86_400: "day"}


def authentication_rule(route: RoutePlan) -> str:
    return " or ".join(route.authentication)


def rule_of(spec: PolicySpec) -> str:
    """The settings of one policy as its reader would say them. Secrets are a type that prints redacted."""
    settings = spec.settings
    if isinstance(settings, str):
        return settings
    if isinstance(settings, LimitSpec):
        tiers = [f"tier {name}: {limit_rule(limit)}" for name, limit in settings.tiers.items()]
        return ", ".join([*tiers, *map(limit_rule, settings.own)])
    if isinstance(settings, ChooseSpec):
        shares = [f"{version.name} {version.weight / HUNDREDTHS:g} %" for version in settings.versions]
        return f"{settings.model}: {', '.join(shares)}; sticky by {settings.sticky}"
    dump = getattr(settings, "model_dump_json", None)
    written = json.loads(dump(exclude_defaults=True, by_alias=True)) if callable(dump) else {}
    return ", ".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in written.items())


def brief_of(spec: PolicySpec) -> str:
    """What of it fits into a table: tiers and versions are told elsewhere, a kind's own settings in full only."""
    settings = spec.settings
    if isinstance(settings, LimitSpec):
        return ", ".join([*(["tier"] if settings.by_tier else []), *map(limit_rule, settings.own)])
    if isinstance(settings, ChooseSpec):
        return f"a version, sticky by {settings.sticky}"
    return settings if isinstance(settings, str) else ""


def limit_rule(limit: Limit) -> str:
    """`10/s per consumer, burst 20`."""
    rate = f"{limit.count}/{SHORT.get(limit.period, f'{limit.period} s')} per {limit.per.value}"
    return rate if limit.burst == limit.count else f"{rate}, burst {limit.burst}"

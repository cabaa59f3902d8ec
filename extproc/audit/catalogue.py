"""Every rule, and the one function that asks them all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from extproc.audit import (
    authorization_rules,
    cluster_rules,
    edge_rules,
    gateway_rules,
    limit_rules,
    process_rules,
    processing_rules,
    token_rules,
)
from extproc.audit.envoy import Envoy, read_envoy
from extproc.audit.gateway import FromEnvironment, Gateway
from extproc.audit.node import Node
from extproc.audit.rule import Finding, Rule, Seen
from extproc.audit.severity import ORDER, Severity, at_least
from extproc.config.environment import substitute
from extproc.config.source import Source, Substitute, parse
from extproc.core.problems import spell_path

GATEWAY: Final[tuple[Rule[Gateway], ...]] = gateway_rules.RULES
ENVOY: Final[tuple[Rule[Envoy], ...]] = (
    *edge_rules.RULES, *authorization_rules.RULES, *limit_rules.RULES, *processing_rules.RULES, *token_rules.RULES,
    *cluster_rules.RULES, *process_rules.RULES,
)  # fmt: skip
EVERY: Final[tuple[Rule[Gateway] | Rule[Envoy], ...]] = (*GATEWAY, *ENVOY)
IDS: Final = frozenset(rule.id for rule in EVERY)


class Kind(StrEnum):
    """What a file is, by its keys at the top."""

    GATEWAY = "gateway"
    ENVOY = "envoy"


KEYS: Final = {
    Kind.ENVOY: ("static_resources", "dynamic_resources", "admin", "resources", "configs", "node"),
    Kind.GATEWAY: ("routes", "listeners", "upstreams"),
}
MAX_VALUES: Final = 1_000_000  # a dump of a large mesh; 100,000 is enough for a gateway file, and not for that


def kind_of(data: Any) -> Kind | None:
    top = Node(data)
    return next((kind for kind, keys in KEYS.items() if any(top.get(key).written for key in keys)), None)


def as_written(text: str) -> Source:
    return parse(text, lambda scalar: scalar, MAX_VALUES)


def with_environment(text: str, environment: Mapping[str, str]) -> Source:
    """A variable that is not set stays as it is written: what it would say is nobody's weakness yet."""
    return parse(text, _known(environment), MAX_VALUES)


def audit(source: Source, kind: Kind, ignored: frozenset[str], least: Severity) -> list[Finding]:
    """What the file gives away: the worst first, then rule by rule, in the order of the file."""
    if kind is Kind.GATEWAY:
        found = _ask(GATEWAY, Gateway(Node(source.data)), source)
    else:
        found = _ask(ENVOY, read_envoy(source.data), source)
    kept = (one for one in found if one.rule not in ignored and at_least(one.severity, least))
    return sorted(set(kept), key=lambda one: (ORDER.index(one.severity), one.rule, one.line, one.column, one.path))


def _ask(rules: Iterable[Rule[Seen]], seen: Seen, source: Source) -> Iterable[Finding]:
    for rule in rules:
        for place in rule.find(seen):
            line, column = source.position(place.path)
            yield Finding(
                rule.id, rule.severity, line, column, spell_path(place.path), rule.weakens, rule.mend, rule.reference
            )


def _known(environment: Mapping[str, str]) -> Substitute:
    def replaced(text: str) -> str:
        try:
            value = substitute(text, environment)
        except ValueError:
            return FromEnvironment(text)
        return value if value == text else FromEnvironment(value)

    return replaced

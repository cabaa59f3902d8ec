"""A gateway to count for, and what a scraper reads, by sample and labels."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from extproc.core.chain import Link, PolicyChain
from extproc.core.gateway import Gateway, ServedRoute
from extproc.core.policy import Policy
from extproc.core.record import DecisionRecord, Result
from extproc.telemetry import Metrics
from extproc.testing import FakeClock

OPENMETRICS = "application/openmetrics-text"
Labels = frozenset[tuple[str, str]]


def gateway(
    *routes: str, policies: Iterable[str] = ("authenticate", "authorize"), response: Iterable[str] = ("transform",),
    revision: str = "r1", version: str = "",
) -> Gateway:  # fmt: skip
    links, backwards = ([Link(name, Policy()) for name in names] for names in (policies, response))
    chains = [PolicyChain(route, tuple(links), FakeClock(), tuple(backwards)) for route in routes]
    return Gateway(revision, {chain.route: ServedRoute(chain, version=version) for chain in chains}, {})


def counting(*routes: str) -> Metrics:
    metrics = Metrics()
    metrics.config_loaded(gateway(*(routes or ("orders",))))
    return metrics


def decided(
    reason: str = "allowed", *, policy: str = "", result: Result | None = None, route: str = "orders",
    service: str = "ext_authz", duration: int = 0, steps: tuple[tuple[str, int], ...] = (),
) -> DecisionRecord:  # fmt: skip
    result = result or (Result.DENY if policy else Result.ALLOW)
    return DecisionRecord(service, result, reason, route=route, policy=policy, duration=duration, steps=steps)


def families(metrics: Metrics, accept: str = "") -> list[Metric]:
    _, text = metrics.exposition(accept)
    parse = parse_openmetrics if accept else parse_plain
    return list(parse(text.decode()))


def samples(metrics: Metrics, name: str) -> dict[Labels, float]:
    found = [sample for family in families(metrics) for sample in family.samples if sample.name == name]
    return {frozenset(sample.labels.items()): sample.value for sample in found}


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics, name).get(frozenset(labels.items()))


def decisions(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """By route, policy, decision and reason."""
    found = {frozenset(key): count for key, count in samples(metrics, "extproc_decisions_total").items()}
    names = ("route", "policy", "decision", "reason")
    return {tuple(dict(key)[name] for name in names): count for key, count in found.items()}

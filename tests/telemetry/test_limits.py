"""What is counted of hits on files' limits, and how many series a caller can make of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extproc.core.tally import Tally
from extproc.telemetry import Metrics, limits
from extproc.telemetry.limits import LimitMetrics
from tests.telemetry.scrapes import OPENMETRICS, families, samples, value

PAGE = (Path(__file__).parents[2] / "docs" / "ratelimit.md").read_text()
ROW = re.compile(r"^\| `(extproc_ratelimit_[a-z_]+)` \| ([^|]*)\|", re.MULTILINE)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def counted(metrics: Metrics) -> LimitMetrics:
    return metrics.limits()


def test_a_tally_is_added_to_the_series_of_its_limit(metrics: Metrics, counted: LimitMetrics) -> None:
    counted.hits("d", "d.a", Tally(5, within=2, near=1, over=3, shadowed=3))
    counted.hits("d", "d.a", Tally(1, within=1))
    counted.hits("d", "d.b", Tally(2**64))
    found = [
        value(metrics, f"extproc_ratelimit_{name}_total", domain="d", descriptor="d.a")
        for name in ("hits", "within_limit", "near_limit", "over_limit", "shadow_mode")
    ]
    assert found == [6, 3, 1, 3, 3]
    assert value(metrics, "extproc_ratelimit_hits_total", domain="d", descriptor="d.b") == 2**64


def test_domains_that_nobody_knows_and_calls_that_are_let_through_are_counted(
    metrics: Metrics, counted: LimitMetrics
) -> None:
    counted.domain_not_found("x")
    counted.domain_not_found("x")
    counted.shadowed()
    assert value(metrics, "extproc_ratelimit_domain_not_found_total", domain="x") == 2
    assert value(metrics, "extproc_ratelimit_global_shadow_mode_total") == 1


def test_a_caller_makes_no_more_series_than_the_bound(
    metrics: Metrics, counted: LimitMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SERIES", 3)
    monkeypatch.setattr(limits, "DOMAINS", 3)
    for n in range(10):
        counted.hits("d", f"d.a_{n}", Tally(1))
        counted.domain_not_found(f"made-up-{n}")
    counted.hits("d", "d.a_0", Tally(1))
    hits = samples(metrics, "extproc_ratelimit_hits_total")
    assert {dict(labels)["descriptor"]: count for labels, count in hits.items()} == {
        "d.a_0": 2, "d.a_1": 1, "d.a_2": 1, "other": 7,
    }  # fmt: skip
    unknown = samples(metrics, "extproc_ratelimit_domain_not_found_total")
    assert {dict(labels)["domain"]: count for labels, count in unknown.items()} == {
        "made-up-0": 1, "made-up-1": 1, "made-up-2": 1, "other": 7,
    }  # fmt: skip


def test_a_value_of_any_length_makes_no_long_label(metrics: Metrics, counted: LimitMetrics) -> None:
    counted.hits("d", "d.a_" + "x" * 10_240, Tally(1))
    counted.domain_not_found("x" * 10_240)
    assert value(metrics, "extproc_ratelimit_hits_total", domain="d", descriptor="other") == 1
    assert value(metrics, "extproc_ratelimit_domain_not_found_total", domain="other") == 1


def test_the_page_tells_every_metric_with_its_labels(metrics: Metrics, counted: LimitMetrics) -> None:
    counted.hits("d", "d.a", Tally(1))
    counted.domain_not_found("x")
    counted.shadowed()
    published = {
        f"{family.name}_total": frozenset(name for sample in family.samples for name in sample.labels)
        for family in families(metrics, OPENMETRICS)
        if family.name.startswith("extproc_ratelimit_")
    }
    told = {row[1]: frozenset(re.findall(r"`([a-z_]+)`", row[2])) for row in ROW.finditer(PAGE)}
    assert told == published

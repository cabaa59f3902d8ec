"""docs/metrics.md says what there is: every metric with its type and labels, and none besides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from extproc.core.comparing import Agreement, Compared, Comparison, Told
from extproc.core.evidence import Seen
from extproc.core.message import Request
from extproc.core.record import Result
from extproc.telemetry import Metrics
from extproc.telemetry.labels import REASONS, REASONS_OF_A_POLICY
from tests.telemetry.scrapes import OPENMETRICS, counting, decided, families

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
ROW = re.compile(
    r"^\| `(?P<name>[a-z_]+)` \| (?P<type>[a-z]+) \| (?P<labels>[^|]*)\| (?P<meaning>[^|]+) \|$", re.MULTILINE
)
SUFFIXES = {"counter": "_total", "info": "_info"}
Described = dict[str, tuple[str, frozenset[str]]]


def documented() -> Described:
    return {
        row["name"]: (row["type"], frozenset(re.findall(r"`([a-z_]+)`", row["labels"])))
        for row in ROW.finditer(PAGE.partition("## What the labels say")[0])
    }


def counted() -> Metrics:
    """One in which every metric has a series."""
    metrics = counting()
    metrics.record(decided()._replace(facts={"api_version": "v1", "api_status": "deprecated"}))
    metrics.record(decided("no", policy="authorize", result=Result.DENY, steps=(("authorize", 1),)))
    metrics.watch_store("memory", lambda: 1, 2)
    metrics.store_operated("memory", "allowed")
    metrics.happened("keys_read")
    models = metrics.models(lambda: {("chat", "v1"): 1.0}, lambda: 0)
    models.did("chat", "v1", Seen(bucket=7, score=1.0))
    models.told("counted", 1)
    told = Told("v1", None, 1)
    metrics.compared(Compared(Comparison("m", "v1", "r", Request("GET", "/")), told, told, {"f": Agreement.AGREE}))
    metrics.shadow_dropped("m")
    metrics.metered("orders", 42, "said")
    metrics.rollouts().watch({"chat": None})
    return metrics


def published(metrics: Metrics) -> Described:
    """As OpenMetrics tells it: there, a metric has its own name, and its samples have suffixes."""
    return {
        family.name + SUFFIXES.get(family.type, ""): (
            family.type,
            frozenset(name for sample in family.samples for name in sample.labels) - {"le"},
        )
        for family in families(metrics, OPENMETRICS)
    }


def test_the_table_is_what_a_scrape_gives() -> None:
    assert documented() == published(counted())


def test_every_row_of_the_page_is_read() -> None:
    assert len(documented()) == PAGE.partition("## What the labels say")[0].count("\n| `")


@pytest.mark.parametrize("query", re.findall(r"```promql\n(.*?)```", PAGE, re.DOTALL))
def test_every_query_names_series_and_labels_that_there_are(query: str) -> None:
    samples = [sample for family in families(counted(), OPENMETRICS) for sample in family.samples]
    named = set(re.findall(r"\b(?:extproc|process)_\w+", query))
    assert named
    assert named <= {sample.name for sample in samples}
    labels = {name for sample in samples if sample.name in named for name in sample.labels} | {"instance"}
    grouped = {name.strip() for group in re.findall(r"by \(([^)]*)\)", query) for name in group.split(",")}
    assert grouped | set(re.findall(r"[{,](\w+)=", query)) <= labels


def test_the_bounds_on_the_page_are_those_of_the_code() -> None:
    assert f"a policy\nhas {REASONS_OF_A_POLICY} and the process {REASONS}," in PAGE

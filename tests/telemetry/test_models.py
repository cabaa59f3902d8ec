"""What versions of models did, as a scraper reads it."""

from __future__ import annotations

from prometheus_client import Metric

from extproc.core.evidence import LATENCY_BOUNDS, STEPS_OF_TWO, Seen
from extproc.telemetry import Metrics
from tests.core.evidence_cases import seen
from tests.telemetry.scrapes import OPENMETRICS, families

V1 = {"model": "chat", "version": "v1"}


def read(metrics: Metrics) -> dict[str, Metric]:
    return {family.name: family for family in families(metrics, OPENMETRICS)}


def value(metrics: Metrics, name: str, suffix: str = "_total", **labels: str) -> float:
    (found,) = [
        sample.value
        for sample in read(metrics)[name].samples
        if sample.name == name + suffix and dict(sample.labels) == labels
    ]
    return float(found)


def test_each_version_has_its_sums() -> None:
    metrics = Metrics()
    models = metrics.models(lambda: {("chat", "v1"): 0.25}, lambda: 3)
    models.did("chat", "v1", seen(0.1, tokens=7))
    models.did("chat", "v1", seen(0.2, error=True)._replace(score=0.5))
    models.did("chat", "v2", Seen())
    assert [value(metrics, f"extproc_model_{name}", **V1) for name in ("requests", "errors", "tokens")] == [2, 1, 7]
    assert [value(metrics, f"extproc_model_{name}", **V1) for name in ("scores", "score_sum")] == [1, 0.5]
    assert value(metrics, "extproc_model_share", "", **V1) == 0.25
    assert value(metrics, "extproc_evidence_lost") == 3


def test_the_histogram_counts_what_took_up_to_each_bound() -> None:
    metrics = Metrics()
    models = metrics.models(dict, lambda: 0)
    latencies = [0.0005, 0.001, 0.0011, 0.1, 3.0, 10_000.0]
    for latency in latencies:
        models.did("chat", "v1", seen(latency))
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in read(metrics)["extproc_model_latency_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert sorted(buckets)[:-1] == list(LATENCY_BOUNDS[::STEPS_OF_TWO])
    for bound, count in buckets.items():
        assert count == sum(latency <= bound for latency in latencies), bound
    assert value(metrics, "extproc_model_latency_seconds", "_count", **V1) == len(latencies)


def test_feedback_is_counted_by_what_became_of_it() -> None:
    metrics = Metrics()
    models = metrics.models(dict, lambda: 0)
    models.told("counted", 2)
    models.told("counted", 1)
    assert value(metrics, "extproc_feedback", result="counted") == 3

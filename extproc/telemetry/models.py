"""What versions of models did, as this sidecar heard it. Labels are names of the plan: whoever tells checks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from extproc.core.evidence import LATENCY_BOUNDS, STEPS_OF_TWO, Evidence, Growing, Seen, middle_of

LABELS: Final = ("model", "version")
# Each twice the one before: a fifth of what evidence has, and of the series.
SHOWN: Final = LATENCY_BOUNDS[::STEPS_OF_TWO]
Named = tuple[str, str]
Shares = Callable[[], Mapping[Named, float]]


class ModelMetrics(Collector):
    def __init__(self, registry: CollectorRegistry, shares: Shares, lost: Callable[[], int]) -> None:
        self._shares = shares
        self._lost = lost
        self._known: dict[Named, Growing] = {}
        self._feedback: dict[str, int] = {}
        registry.register(self)

    def did(self, model: str, version: str, seen: Seen) -> None:
        growing = self._known.get((model, version))
        if growing is None:
            growing = self._known[model, version] = Growing()
        growing.add(seen)

    def told(self, result: str, count: int) -> None:
        """Of feedback; the results are named in code."""
        self._feedback[result] = self._feedback.get(result, 0) + count

    def describe(self) -> Iterable[Metric]:
        """Asked when it is registered: which names are taken."""
        return self._families({}, {}, 0)

    def collect(self) -> Iterable[Metric]:
        known = {named: growing.evidence for named, growing in list(self._known.items())}
        return self._families(known, self._shares(), self._lost())

    def _families(self, known: Mapping[Named, Evidence], shares: Mapping[Named, float], lost: int) -> Iterable[Metric]:
        yield _counter("requests", "Requests that a version answered, or failed to.", known, lambda one: one.requests)
        yield _counter(
            "errors",
            "Of these, those that the version failed: 5xx, 429, no answer or one that was broken off.",
            known,
            lambda one: one.errors,
        )
        yield _latencies(known)
        yield _counter("tokens", "Tokens that requests came to.", known, lambda one: one.tokens)
        yield _counter("scores", "Answers of which somebody said how good they are.", known, lambda one: one.scores)
        yield _counter("score_sum", "The sum of these scores.", known, lambda one: one.score_sum)
        assigned = GaugeMetricFamily(
            "extproc_model_share", "The share of the callers that is assigned to a version.", labels=LABELS
        )
        for named, share in shares.items():
            assigned.add_metric(named, share)
        yield assigned
        given_up = CounterMetricFamily(
            "extproc_evidence_lost", "Requests whose evidence was given up, since no store would take it for too long."
        )
        given_up.add_metric((), lost)
        yield given_up
        feedback = CounterMetricFamily(
            "extproc_feedback",
            "Feedback that was counted; that was of no request known, of somebody else's or said before (unknown); "
            "that was too much (refused).",
            labels=("result",),
        )
        for result, count in dict(self._feedback).items():
            feedback.add_metric((result,), count)
        yield feedback


def _counter(
    name: str, documentation: str, known: Mapping[Named, Evidence], value: Callable[[Evidence], float]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"extproc_model_{name}", documentation, labels=LABELS)
    for named, evidence in known.items():
        family.add_metric(named, value(evidence))
    return family


def _latencies(known: Mapping[Named, Evidence]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "extproc_model_latency_seconds",
        "From when a version had the whole request to its answer's last byte, of a stream to its first.",
        labels=LABELS,
    )
    for named, evidence in known.items():
        below = list(accumulate(evidence.latencies))
        counts = [*below[::STEPS_OF_TWO][: len(SHOWN)], below[-1]]
        spent = sum(count * middle_of(bucket) for bucket, count in enumerate(evidence.latencies))
        family.add_metric(named, list(zip([*map(floatToGoString, SHOWN), "+Inf"], counts, strict=True)), spent)
    return family

"""Every metric of our own: name, labels, buckets and what it means. docs/metrics.md tells the same, held by a test."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from extproc.telemetry.tallies import Tallies
from extproc.telemetry.timings import Timings

# A decision in memory takes tens of microseconds; one that waits for a store ends at Envoy's deadline.
DECIDING: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
)  # fmt: skip
ANSWERING: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAGGING: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class OwnRegistry(CollectorRegistry):
    """Not the global one: a host application's metrics are not ours to publish, nor ours its own to reset."""

    def collect(self) -> Iterable[Metric]:
        """Without the time at which each series began, which would be a series more for each."""
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Families:
    """One attribute a metric. Children are bound by whoever counts."""

    def __init__(self) -> None:
        self.registry = registry = OwnRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.decisions = Tallies(
            "extproc_decisions_total",
            "Decisions about requests and answers. decision is allow, deny, or error where none was reached, which "
            "refuses too; policy is the one that refused or failed.",
            ("service", "route", "policy", "decision", "reason"),
            registry=registry,
        )
        self.version_requests = Tallies(
            "extproc_api_version_requests_total",
            "Requests to a version of the API that is deprecated or gone, refused ones included: who still calls it is "
            "in the decision log. A route that asks nobody is not counted.",
            ("version", "route"),
            registry=registry,
        )
        self.decision_duration = Timings(
            "extproc_decision_duration_seconds",
            "From the arrival of Envoy's call in the sidecar to the answer, for one decision.",
            "service",
            registry=registry,
            buckets=DECIDING,
        )
        self.policy_duration = Timings(
            "extproc_policy_duration_seconds",
            "How long one policy took to judge, or to fail.",
            "policy",
            registry=registry,
            buckets=DECIDING,
        )
        self.config_reloads = Counter(
            "extproc_config_reloads_total",
            "Times the gateway file was loaded, the first one included; after a failure the plan before it stays.",
            ("result",),
            registry=registry,
        )
        self.config = Info(
            "extproc_config",
            "The plan in force: its revision, which Envoy's bootstrap must have been rendered with.",
            registry=registry,
        )
        self.events = Counter(
            "extproc_events_total",
            "What happened to the sidecar itself, by the name under which the log tells it.",
            ("event",),
            registry=registry,
        )
        self.metered_answers = Tallies(
            "extproc_metered_answers_total",
            "Answers whose tokens were counted. ended is said where the upstream said how many, estimated by their "
            "length, cut where the budget was used up, left where the client or the upstream went away.",
            ("route", "ended"),
            registry=registry,
        )
        self.metered_tokens = Tallies(
            "extproc_metered_tokens_total",
            "The tokens of those answers, and of the requests that they answer.",
            ("route", "ended"),
            registry=registry,
        )
        self.store_operations = Tallies(
            "extproc_store_operations_total",
            "Judgements that the counters were asked for. allowed and refused are theirs; unavailable means that none "
            "could be made, which refuses the request.",
            ("store", "result"),
            registry=registry,
        )
        self.store_counters = Gauge(
            "extproc_store_counters",
            "Counters that are held in memory; one that is full again is forgotten a little later.",
            ("store",),
            registry=registry,
        )
        self.store_capacity = Gauge(
            "extproc_store_capacity",
            "How many counters the store may hold. A full store refuses whoever is new to it.",
            ("store",),
            registry=registry,
        )
        self.quota_envoys = Gauge(
            "extproc_quota_envoys",
            "Envoys whose quota streams are open: those that judge shared limits by themselves.",
            registry=registry,
        )
        self.quota_buckets = Gauge(
            "extproc_quota_buckets",
            "Buckets of shared limits of which some Envoy has a share.",
            registry=registry,
        )
        self.shadow_comparisons = Tallies(
            "extproc_shadow_comparisons_total",
            "Answers of a shadow that were held against those of the version that was chosen, field by field: agree, "
            "differ, undecided where neither has the field, unanswered where one of the two gave no answer in time.",
            ("model", "version", "field", "result"),
            registry=registry,
        )
        self.shadow_duration = Histogram(
            "extproc_shadow_duration_seconds",
            "How long a version took to answer a request that was asked of two for comparison.",
            ("model", "version"),
            registry=registry,
            buckets=ANSWERING,
        )
        self.shadows_dropped = Tallies(
            "extproc_shadows_dropped_total",
            "Comparisons that were not made: too many were waiting, or one could not be made.",
            ("model",),
            registry=registry,
        )
        self.loop_lag = Histogram(
            "extproc_event_loop_lag_seconds",
            "How much too late the event loop wakes a task that sleeps for 100 ms: what every decision waits.",
            registry=registry,
            buckets=LAGGING,
        )
        self.lines_dropped = Counter(
            "extproc_log_lines_dropped_total",
            "Lines of the decision log that were not written, because its reader was too slow or has gone.",
            registry=registry,
        )

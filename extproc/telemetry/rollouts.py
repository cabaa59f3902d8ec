"""Rollouts as metrics. Models and versions are the plan's, and so are their names as labels."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from extproc.core.rollout import What


class RolloutMetrics:
    """Fills a registry that has the process's other metrics as well."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._steps = Gauge(
            "extproc_rollout_steps_taken",
            "How many steps of its ramp the candidate has reached.",
            ("model",),
            registry=registry,
        )
        self._changes = Counter(
            "extproc_rollout_changes_total",
            "Changes of a model's shares or of its ramp, by what was done; counted where it was decided.",
            ("model", "change"),
            registry=registry,
        )
        self._looks = Counter(
            "extproc_rollout_looks_total",
            "How often the leader looked at what a model's versions did, where it could.",
            ("model",),
            registry=registry,
        )
        self._leads = Gauge(
            "extproc_rollout_leader", "1 where this sidecar leads: it moves what moves by itself.", registry=registry
        )

    def watch(self, models: Mapping[str, object]) -> None:
        """From the start, so that the first rollback is an increase and no new series."""
        for model in models:
            self._looks.labels(model)
            self._steps.labels(model)
            for what in What:
                self._changes.labels(model, what.value)

    def stepped(self, model: str, steps: int) -> None:
        self._steps.labels(model).set(steps)

    def looked(self, model: str) -> None:
        self._looks.labels(model).inc()

    def changed(self, model: str, what: str) -> None:
        self._changes.labels(model, what).inc()

    def leads(self, leads: bool) -> None:
        self._leads.set(leads)

"""Counts what happens. No consumer, path, address or header ever becomes a label: see `labels`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection
from typing import Final

from extproc.core.comparing import Compared
from extproc.core.gateway import Gateway
from extproc.core.limits import NANOSECONDS
from extproc.core.names import API_STATUS, API_VERSION
from extproc.core.record import DecisionRecord
from extproc.core.specs import LIMIT
from extproc.core.versions import Status
from extproc.telemetry.exposition import exposition
from extproc.telemetry.families import Families
from extproc.telemetry.labels import UNKNOWN, Labels
from extproc.telemetry.limits import LimitMetrics
from extproc.telemetry.models import ModelMetrics, Shares
from extproc.telemetry.rollouts import RolloutMetrics
from extproc.telemetry.tallies import Tally
from extproc.telemetry.timings import Timing

SUCCESS: Final = "success"
FAILURE: Final = "failure"
CURRENT: Final = Status.CURRENT.value
Decided = tuple[str, str, str, str, str]  # service, route, policy, decision, reason


class Metrics:
    """On the way of every decision: labels that are known are one look-up in a dictionary each."""

    def __init__(self) -> None:
        self._families = families = Families()
        self._labels = Labels()
        self._decisions: dict[Decided, Tally] = {}
        self._services: dict[str, Timing] = {}
        self._policies: dict[str, Timing] = {}
        # From the start, so that the first failure is an increase and no new series.
        self._reloads = {result: families.config_reloads.labels(result) for result in (SUCCESS, FAILURE)}

    def limits(self) -> LimitMetrics:
        """More families in the same registry, for who serves files of envoyproxy/ratelimit; to be asked once."""
        return LimitMetrics(self._families.registry)

    def models(self, shares: Shares, lost: Callable[[], int]) -> ModelMetrics:
        """More families in the same registry, for a plan with models; to be asked once. `shares` and `lost` are asked
        at every scrape, in a thread."""
        return ModelMetrics(self._families.registry, shares, lost)

    def rollouts(self) -> RolloutMetrics:
        """More families, for who keeps rollouts; to be asked once."""
        return RolloutMetrics(self._families.registry)

    def exposition(self, accept: str) -> tuple[str, bytes]:
        """Content type and text, in the format that suits the Accept header best."""
        return exposition(self._families.registry, accept)

    def config_loaded(self, gateway: Gateway) -> None:
        """At the start and at every reload that succeeds: from now on this plan's names are labels."""
        self._labels.versions = gateway.versions
        self._loaded(frozenset(gateway.routes), gateway.policies, gateway.revision)

    def limits_loaded(self, domains: Collection[str], revision: str) -> None:
        """The same for files of envoyproxy/ratelimit: their domains stand where routes do, and they have one policy."""
        self._loaded(frozenset(domains), frozenset({LIMIT}), revision)

    def _loaded(self, routes: frozenset[str], policies: frozenset[str], revision: str) -> None:
        self._labels.routes = routes
        self._labels.policies = policies
        self._decisions.clear()
        self._policies.clear()
        self._families.config.info({"revision": revision})
        self._reloads[SUCCESS].inc()

    def config_refused(self) -> None:
        """A reload that failed; the plan before it stays in force."""
        self._reloads[FAILURE].inc()

    def record(self, record: DecisionRecord) -> None:
        decided = (record.service, record.route, record.policy, record.result, record.reason)
        (self._decisions.get(decided) or self._decision(decided)).count += 1
        (self._services.get(record.service) or self._service(record.service)).observe(record.duration)
        if record.facts and record.facts.get(API_STATUS, CURRENT) != CURRENT:
            self._families.version_requests.labels(*self._version(record)).count += 1
        for name, taken in record.steps:  # in one frame: a call for each would take as long as all else here
            timing = self._policies.get(name) or self._policy(name)
            timing.counts[bisect_left(timing.bounds, taken)] += 1
            timing.total += taken

    def _decision(self, decided: Decided) -> Tally:
        """Kept only under labels as they are: what a caller makes up must not grow the dictionary either."""
        service, route, policy, decision, reason = decided
        policy = self._labels.policy(policy)
        labels = (service, self._labels.route(route), policy, decision, self._labels.reason(policy, reason))
        child = self._families.decisions.labels(*labels)
        if labels == decided:
            self._decisions[decided] = child
        return child

    def _version(self, record: DecisionRecord) -> tuple[str, str]:
        """Facts are a policy's to write: a name that no route serves is unknown, like a route's."""
        version = record.facts.get(API_VERSION, "")
        return version if version in self._labels.versions else UNKNOWN, self._labels.route(record.route)

    def _service(self, name: str) -> Timing:
        child = self._services[name] = self._families.decision_duration.labels(name)
        return child

    def _policy(self, name: str) -> Timing:
        label = self._labels.policy(name)
        child = self._families.policy_duration.labels(label)
        if label == name:
            self._policies[name] = child
        return child

    def watch_store(self, store: str, count: Callable[[], int], capacity: int) -> None:
        """`count` is asked at every scrape, in a thread."""
        self._families.store_counters.labels(store).set_function(count)
        self._families.store_capacity.labels(store).set(capacity)

    def watch_quotas(self, envoys: Callable[[], int], buckets: Callable[[], int]) -> None:
        """Both are asked at every scrape, in a thread."""
        self._families.quota_envoys.set_function(envoys)
        self._families.quota_buckets.set_function(buckets)

    def store_operated(self, store: str, result: str, times: int = 1) -> None:
        self._families.store_operations.labels(store, result).count += times

    def metered(self, route: str, tokens: int, ended: str) -> None:
        """An answer came to so many tokens; `ended` is one of `core.ports.Ended`."""
        labels = (self._labels.route(route), ended)
        self._families.metered_answers.labels(*labels).count += 1
        self._families.metered_tokens.labels(*labels).count += tokens

    def may_happen(self, *events: str) -> None:
        """From the start, so that the first time is an increase and no new series."""
        for event in events:
            self._families.events.labels(event)

    def happened(self, event: str) -> None:
        """An event of the sidecar's own; their names are in code, never a request's."""
        self._families.events.labels(event).inc()

    def compared(self, compared: Compared) -> None:
        """Its names are the plan's: no request makes one up."""
        model, families = compared.comparison.model, self._families
        for field, result in compared.fields.items():
            families.shadow_comparisons.labels(model, compared.shadow.version, field, result).count += 1
        for told in (compared.chosen, compared.shadow):
            families.shadow_duration.labels(model, told.version).observe(told.duration / NANOSECONDS)

    def shadow_dropped(self, model: str) -> None:
        self._families.shadows_dropped.labels(model).count += 1

    def loop_lagged(self, seconds: float) -> None:
        self._families.loop_lag.observe(seconds)

    def line_dropped(self) -> None:
        """In whichever thread."""
        self._families.lines_dropped.inc()

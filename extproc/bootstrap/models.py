"""Models on Envoy's side: who stands in for a version that fails, and who gets copies.

A version with a fallback is an aggregate cluster: its own endpoints come first, those of the others behind them. Envoy
goes on to the next where the first have no healthy endpoint, and with every retry (aggregate cluster, previous
priorities). Which version answered only the endpoint's metadata tells: `%UPSTREAM_CLUSTER%` names the aggregate.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Final

from envoy_data_plane.envoy.config.cluster import v3 as cluster
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.extensions.clusters.aggregate import v3 as aggregate
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities import v3 as previous_priorities
from envoy_data_plane.google.protobuf import Struct

from extproc.bootstrap.clusters import upstream
from extproc.bootstrap.names import BUFFER_LIMIT, packed, seconds
from extproc.core.names import (
    DECIDED_VERSION,
    DECISION_NAMESPACE,
    MODEL_FALLBACK,
    MODEL_METADATA,
    MODEL_VERSION,
    SHADOW_HEADER,
    model_cluster,
    shadow_cluster,
    version_cluster,
)
from extproc.core.specs import ChooseSpec
from extproc.plan.model import Plan

TOO_MANY: Final = 429
RETRY_ON: Final = "5xx,retriable-status-codes"  # 5xx stands for no answer too: a reset, a refused connection, a timeout
ALL: Final = 100  # percent of a version's endpoints may be left alone: another version answers then
AT_ONCE: Final = 100  # copies on their way to one shadow: a slow one costs no more than these
PREVIOUS_PRIORITIES: Final = "envoy.retry_priorities.previous_priorities"
AGGREGATE: Final = "envoy.clusters.aggregate"
ANSWERED_BY: Final = f"%UPSTREAM_METADATA({MODEL_METADATA}:{DECIDED_VERSION})%"
CHOSEN: Final = f'metadata.filter_metadata["{DECISION_NAMESPACE}"]["{DECIDED_VERSION}"]'
ANSWERING: Final = f'xds.upstream_host_metadata.filter_metadata["{MODEL_METADATA}"]["{DECIDED_VERSION}"]'
# A header whose value is empty is not added (custom_request_headers).
STOOD_IN: Final = f'%CEL({CHOSEN} != {ANSWERING} ? {CHOSEN} : "")%'


def model_clusters(plan: Plan, secrets: PurePath) -> Iterator[cluster.Cluster]:
    for model in plan.models.values():
        if model.fallback is not None:
            for version in model.versions:
                yield _version(plan, model, version.name, version.upstream, secrets)
            for version in model.versions:
                yield _with_others(model, version.name, model.fallback.order(version.name), model.fallback.budget)
        if model.shadow is not None and model.shadow.compare is None:
            shadow = upstream(
                plan.upstreams[model.version(model.shadow.version).upstream], secrets, shadow_cluster(model.model)
            )
            shadow.circuit_breakers = _breakers(max_requests=AT_ONCE, max_pending_requests=AT_ONCE)
            yield shadow


def _version(plan: Plan, model: ChooseSpec, name: str, served_by: str, secrets: PurePath) -> cluster.Cluster:
    made = upstream(plan.upstreams[served_by], secrets, version_cluster(model.model, name), ejected=ALL)
    said = core.Metadata(filter_metadata={MODEL_METADATA: Struct.from_dict({DECIDED_VERSION: name})})
    for locality in made.load_assignment.endpoints if made.load_assignment else ():
        for endpoint in locality.lb_endpoints:
            endpoint.metadata = said
    return made


def _with_others(model: ChooseSpec, name: str, order: tuple[str, ...], budget: int) -> cluster.Cluster:
    """`max_retries` is the budget: Envoy's own percentage counts the requests of an aggregate as none."""
    members = aggregate.ClusterConfig(clusters=[version_cluster(model.model, version) for version in order])
    return cluster.Cluster(
        name=model_cluster(model.model, name),
        connect_timeout=seconds(1),  # connections are its members', but it may not be left out
        per_connection_buffer_limit_bytes=BUFFER_LIMIT,
        lb_policy=cluster.ClusterLbPolicy.CLUSTER_PROVIDED,
        cluster_type=cluster.ClusterCustomClusterType(name=AGGREGATE, typed_config=packed(members)),
        circuit_breakers=_breakers(max_retries=budget),
    )


def _breakers(
    max_requests: int | None = None, max_pending_requests: int | None = None, max_retries: int | None = None
) -> cluster.CircuitBreakers:
    thresholds = cluster.CircuitBreakersThresholds(
        max_requests=max_requests, max_pending_requests=max_pending_requests, max_retries=max_retries
    )
    return cluster.CircuitBreakers(thresholds=[thresholds])


def standing_in(model: ChooseSpec, each: float | None) -> route.RetryPolicy | None:
    """A retry goes to the next version; another endpoint of the same one is no other answer."""
    if model.fallback is None:
        return None
    priorities = previous_priorities.PreviousPrioritiesConfig(update_frequency=1)
    return route.RetryPolicy(
        retry_on=RETRY_ON,
        retriable_status_codes=[TOO_MANY],
        num_retries=min(model.fallback.tries, len(model.fallback.to)),
        per_try_timeout=None if each is None else seconds(each),
        # Who is asked next has done nothing yet that it would have to recover from.
        retry_back_off=route.RetryPolicyRetryBackOff(base_interval=seconds(0.001), max_interval=seconds(0.01)),
        retry_priority=route.RetryPolicyRetryPriority(name=PREVIOUS_PRIORITIES, typed_config=packed(priorities)),
    )


def told(model: ChooseSpec) -> list[core.HeaderValueOption]:
    """Who answered, and in whose place, where Envoy alone knows."""
    if model.fallback is None:
        return []
    overwrite = core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    said = {MODEL_VERSION: ANSWERED_BY, MODEL_FALLBACK: STOOD_IN}
    return [
        core.HeaderValueOption(header=core.HeaderValue(key=name, value=value), append_action=overwrite)
        for name, value in said.items()
    ]


def copying(model: ChooseSpec) -> route.RouteActionRequestMirrorPolicy:
    """The same request to the same host name, and the one header that says what it is."""
    mark = core.HeaderValueOption(
        header=core.HeaderValue(key=SHADOW_HEADER, value="true"),
        append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return route.RouteActionRequestMirrorPolicy(
        cluster=shadow_cluster(model.model),
        disable_shadow_host_suffix_append=True,
        request_headers_mutations=[mutation_rules.HeaderMutation(append=mark)],
    )

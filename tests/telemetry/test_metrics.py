"""What is counted, and under which labels."""

from __future__ import annotations

import pytest

from extproc.core.limits import NANOSECONDS
from extproc.core.record import Result
from extproc.telemetry import Metrics
from tests.telemetry.scrapes import counting, decided, decisions, families, gateway, samples, value

DECISION = "extproc_decision_duration_seconds"
NAME = "extproc_api_version_requests_total"
POLICY = "extproc_policy_duration_seconds"
MILLISECOND = 1_000_000


def test_every_decision_is_counted_by_service_route_policy_decision_and_reason() -> None:
    metrics = counting("orders", "users")
    for _ in range(3):
        metrics.record(decided())
    metrics.record(decided(service="ext_proc"))
    metrics.record(decided("no_credentials", policy="authenticate", route="users"))
    metrics.record(decided("policy_failed", policy="transform", result=Result.ERROR))
    told = {
        (labels["service"], labels["route"], labels["policy"], labels["decision"], labels["reason"]): count
        for labels, count in ((dict(key), count) for key, count in samples(metrics, "extproc_decisions_total").items())
    }
    assert told == {
        ("ext_authz", "orders", "", "allow", "allowed"): 3,
        ("ext_proc", "orders", "", "allow", "allowed"): 1,
        ("ext_authz", "users", "authenticate", "deny", "no_credentials"): 1,
        ("ext_authz", "orders", "transform", "error", "policy_failed"): 1,
    }


def test_a_decision_is_timed_by_its_service() -> None:
    metrics = counting()
    for duration in (40_000, 300_000, 7 * MILLISECOND):
        metrics.record(decided(duration=duration))
    metrics.record(decided(service="ratelimit", duration=2 * NANOSECONDS))
    buckets = {
        le: value(metrics, f"{DECISION}_bucket", service="ext_authz", le=le) for le in ("5e-05", "0.0005", "1.0")
    }
    assert buckets == {"5e-05": 1, "0.0005": 2, "1.0": 3}
    assert value(metrics, f"{DECISION}_sum", service="ext_authz") == pytest.approx(0.00734)
    assert value(metrics, f"{DECISION}_count", service="ratelimit") == 1
    assert value(metrics, f"{DECISION}_bucket", service="ratelimit", le="1.0") == 0


def test_every_policy_that_ran_is_timed_the_one_that_failed_too() -> None:
    metrics = counting()
    steps = (("authenticate", 100_000), ("authorize", 3 * MILLISECOND))
    metrics.record(decided("policy_failed", policy="authorize", result=Result.ERROR, steps=steps))
    metrics.record(decided(steps=steps[:1]))
    assert value(metrics, f"{POLICY}_count", policy="authenticate") == 2
    assert value(metrics, f"{POLICY}_sum", policy="authorize") == pytest.approx(0.003)


def test_the_limit_of_envoys_own_filter_is_a_policy_of_every_plan() -> None:
    metrics = counting()
    metrics.record(decided("rate_limited", policy="limit", service="ratelimit", steps=(("limit", 1),)))
    assert decisions(metrics) == {("orders", "limit", "deny", "rate_limited"): 1}
    assert value(metrics, f"{POLICY}_count", policy="limit") == 1


def test_the_first_load_is_a_success_and_failures_begin_at_zero() -> None:
    metrics = counting()
    assert value(metrics, "extproc_config_reloads_total", result="success") == 1
    assert value(metrics, "extproc_config_reloads_total", result="failure") == 0
    metrics.config_loaded(gateway("orders"))
    metrics.config_refused()
    assert value(metrics, "extproc_config_reloads_total", result="success") == 2
    assert value(metrics, "extproc_config_reloads_total", result="failure") == 1


def test_only_the_revision_in_force_is_told() -> None:
    metrics = counting()
    assert samples(metrics, "extproc_config_info") == {frozenset({("revision", "r1")}): 1}
    metrics.config_refused()
    assert value(metrics, "extproc_config_info", revision="r1") == 1
    metrics.config_loaded(gateway("orders", revision="r2"))
    assert samples(metrics, "extproc_config_info") == {frozenset({("revision", "r2")}): 1}


def test_a_stores_judgements_are_counted_and_its_room_is_told_as_it_is_now() -> None:
    metrics, held = counting(), ["one"]
    metrics.watch_store("memory", lambda: len(held), 1000)
    assert value(metrics, "extproc_store_counters", store="memory") == 1
    held.append("two")
    assert value(metrics, "extproc_store_counters", store="memory") == 2
    assert value(metrics, "extproc_store_capacity", store="memory") == 1000
    for result in ("allowed", "allowed", "refused", "unavailable"):
        metrics.store_operated("memory", result)
    counts = [
        value(metrics, "extproc_store_operations_total", store="memory", result=result)
        for result in ("allowed", "refused", "unavailable")
    ]
    assert counts == [2, 1, 1]


def test_the_loops_lag_and_lines_that_were_dropped_are_counted() -> None:
    metrics = counting()
    assert value(metrics, "extproc_log_lines_dropped_total") == 0
    for seconds in (0.0, 0.003, 4.0):
        metrics.loop_lagged(seconds)
    metrics.line_dropped()
    lag = "extproc_event_loop_lag_seconds"
    assert [value(metrics, f"{lag}_bucket", le=le) for le in ("0.001", "0.005", "2.5", "+Inf")] == [1, 2, 2, 3]
    assert value(metrics, "extproc_log_lines_dropped_total") == 1


def test_two_sidecars_in_one_process_count_apart() -> None:
    one, other = counting(), counting()
    one.record(decided())
    assert decisions(one) == {("orders", "", "allow", "allowed"): 1}
    assert decisions(other) == {}


def test_nothing_is_in_the_registry_that_others_share() -> None:
    from prometheus_client import REGISTRY  # noqa: PLC0415 - the one that is not ours

    counting().record(decided())
    assert [family.name for family in REGISTRY.collect() if family.name.startswith("extproc")] == []


def test_the_process_itself_is_told() -> None:
    metrics = Metrics()
    assert (value(metrics, "process_resident_memory_bytes") or 0) > 1_000_000
    assert len(samples(metrics, "python_info")) == 1


def test_every_help_is_a_sentence() -> None:
    ours = [family for family in families(counting()) if family.name.startswith("extproc")]
    assert len(ours) == 19
    for family in ours:
        assert family.documentation[0].isupper(), family.name
        assert family.documentation.endswith("."), family.name


@pytest.mark.parametrize("accept", ["", "application/openmetrics-text"])
def test_a_scrape_changes_nothing(accept: str) -> None:
    metrics = counting()
    metrics.record(decided(steps=(("authenticate", 5),)))
    first, second = (
        [family for family in families(metrics, accept) if family.name.startswith("extproc")] for _ in range(2)
    )
    assert first == second


def test_an_event_that_may_happen_is_there_before_it_does() -> None:
    metrics = counting()
    metrics.may_happen("store_lost")
    assert value(metrics, "extproc_events_total", event="store_lost") == 0
    metrics.happened("store_lost")
    assert value(metrics, "extproc_events_total", event="store_lost") == 1


def test_requests_to_versions_that_end_are_counted_under_names_of_the_plan() -> None:
    metrics = Metrics()
    metrics.config_loaded(gateway("users", version="v1"))
    for version, status, route in (
        ("v1", "deprecated", "users"), ("v1", "sunset", "users"), ("v1", "current", "users"),
        ("made-up", "deprecated", "users"), ("v1", "deprecated", "made-up"),
    ):  # fmt: skip
        facts = {"api_version": version, "api_status": status}
        metrics.record(decided(route=route)._replace(facts=facts, consumer="acme"))
    counted = {tuple(sorted(dict(key).values())): count for key, count in samples(metrics, NAME).items()}
    assert counted == {("users", "v1"): 2, ("unknown", "users"): 1, ("unknown", "v1"): 1}

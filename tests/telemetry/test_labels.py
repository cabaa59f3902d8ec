"""However many routes, policies and reasons somebody makes up, the series stay few."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from extproc.core.record import DecisionRecord, Result
from extproc.telemetry.labels import REASONS, REASONS_OF_A_POLICY
from tests.telemetry.scrapes import counting, decided, decisions, families, gateway, samples

CANARY = "c4n4ry"
texts = st.text(st.characters(exclude_categories=()), max_size=5)


def test_a_route_that_the_plan_does_not_hold_is_unknown() -> None:
    metrics = counting("orders")
    for route in ("", "users", "orders ", "ORDERS", "\ud800", "x" * 100_000):
        metrics.record(decided("unknown_route", result=Result.ERROR, route=route))
    metrics.record(decided())
    assert decisions(metrics) == {("unknown", "", "error", "unknown_route"): 6, ("orders", "", "allow", "allowed"): 1}


def test_a_policy_that_the_plan_does_not_hold_is_unknown() -> None:
    metrics = counting()
    for policy in ("other", "authenticate\n", "x" * 100_000):
        metrics.record(decided("no", policy=policy, steps=((policy, 1),)))
    assert decisions(metrics) == {("orders", "unknown", "deny", "no"): 3}
    assert [dict(labels) for labels in samples(metrics, "extproc_policy_duration_seconds_count")] == [
        {"policy": "unknown"}
    ]


def test_a_policy_has_a_bounded_number_of_reasons_and_the_rest_are_other() -> None:
    metrics = counting()
    for _ in range(2):
        for number in range(REASONS_OF_A_POLICY + 10):
            metrics.record(decided(f"reason_{number}", policy="authorize"))
    told = decisions(metrics)
    assert len(told) == REASONS_OF_A_POLICY + 1
    assert told["orders", "authorize", "deny", "reason_0"] == 2
    assert told["orders", "authorize", "deny", "other"] == 20


def test_a_policy_that_makes_up_reasons_leaves_the_others_theirs() -> None:
    metrics = counting()
    for number in range(1000):
        metrics.record(decided(f"reason_{number}", policy="authorize"))
    metrics.record(decided("no_credentials", policy="authenticate"))
    assert decisions(metrics)["orders", "authenticate", "deny", "no_credentials"] == 1


def test_a_process_has_a_bounded_number_of_reasons() -> None:
    metrics = counting()
    policies = [f"policy-{number}" for number in range(20)]
    metrics.config_loaded(gateway("orders", policies=policies))
    for policy in policies:
        for number in range(REASONS_OF_A_POLICY):
            metrics.record(decided(f"{policy[7:]}_{number}", policy=policy))
    reasons = {reason for _, _, _, reason in decisions(metrics)}
    assert len(reasons - {"other"}) == REASONS
    assert sum(decisions(metrics).values()) == 20 * REASONS_OF_A_POLICY


def test_what_a_caller_makes_up_is_not_kept_anywhere() -> None:
    metrics = counting()
    for number in range(100):
        record = decided(f"r{number}", policy=f"p{number}", route=f"route-{number}", steps=((f"p{number}", 1),))
        metrics.record(record)
    assert (metrics._decisions, metrics._policies) == ({}, {})
    assert len(decisions(metrics)) == REASONS_OF_A_POLICY + 1


def test_after_a_reload_the_new_plans_names_are_labels_and_the_old_ones_are_not() -> None:
    metrics = counting("old")
    for record in (decided(route="old"), decided(route="new")):
        metrics.record(record)
    metrics.config_loaded(gateway("new", policies=["checks"]))
    for record in (decided(route="old"), decided(route="new"), decided("no", policy="checks", route="new")):
        metrics.record(record)
    assert decisions(metrics) == {
        ("old", "", "allow", "allowed"): 1,
        ("unknown", "", "allow", "allowed"): 2,
        ("new", "", "allow", "allowed"): 1,
        ("new", "checks", "deny", "no"): 1,
    }


def test_no_consumer_path_address_or_header_is_in_a_scrape() -> None:
    texts = {
        name: CANARY
        for name in DecisionRecord._fields
        if name not in {"service", "result", "reason", "status", "duration", "facts", "steps"}
    }
    metrics = counting()
    metrics.record(DecisionRecord("ext_authz", Result.ALLOW, "allowed", facts={CANARY: CANARY}, **texts))  # type: ignore[arg-type]
    for accept in ("", "application/openmetrics-text"):
        assert CANARY.encode() not in metrics.exposition(accept)[1]


@given(st.lists(st.tuples(texts, texts), max_size=50))
def test_whatever_is_counted_can_be_read(made_up: list[tuple[str, str]]) -> None:
    metrics = counting()
    for route, policy in made_up:
        metrics.record(decided("no", route=route, policy=policy, result=Result.DENY, steps=((policy, 1),)))
    assert sum(decisions(metrics).values()) == len(made_up)
    assert families(metrics, "application/openmetrics-text")

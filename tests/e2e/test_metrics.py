"""What Prometheus reads is what was sent: a known mix through the real Envoy, to the last request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families as parse

from tests.e2e.clients import Field
from tests.e2e.credentials import FREE, PREMIUM, bearer
from tests.e2e.harness import HEAD, RunningGateway, eventually, fetch
from tests.e2e.upstreams import Answer, Upstream, started

pytestmark = pytest.mark.e2e

GATEWAY = (
    HEAD
    + """
upstreams: {main: {endpoints: ["${MAIN}"]}}
tiers: {free: {rate: 3/hour}, premium: {rate: 1000/s}}
models: {choice: {versions: {v1: {upstream: main, weight: 100}}, sticky: none}}
defaults: {authenticate: partners, limits: []}
routes:
  - {name: open, match: {path: /open}, upstream: main, authenticate: none}
  - {name: app, match: {path: /app}, upstream: main}
  - {name: tokens, match: {path: /tokens}, upstream: main, authenticate: company}
  - {name: premium, match: {path: /premium}, upstream: main, authorize: 'consumer.tier == "premium"'}
  - {name: counted, match: {path: /counted}, upstream: main, limits: [tier]}
  - {name: few, match: {path: /few}, upstream: main, authenticate: none, limits: [{per: route, rate: 4/hour}]}
  - {name: broken, match: {path: /broken}, upstream: main, authorize: 'request.headers["absent"] == "x"'}
  - {name: model, match: {path: /model}, model: choice, authenticate: none}
  - name: edited
    match: {path_prefix: /edited}
    upstream: main
    policies: [{use: transform, response: {json: {set: {by: 'route.name'}}}}]
  - name: failing
    match: {path: /failing}
    upstream: main
    authenticate: none
    policies: [{use: transform, response: {json: {set: {by: 'response.headers["absent"]'}}}}]
"""
)
TOKEN = bearer(exp=4_000_000_000)  # good for longer than the tests take
WRONG = ("x-api-key", "xpk_nonsense")
GOOD = ("allow", "allowed")
AUTHZ, LIMITS, ANSWERS = "ext_authz", "ratelimit", "ext_proc"
Decision = tuple[str, str, str, str, str]
# What is asked, how often, the statuses that clients see, and the decisions that it takes.
Sent = tuple[str, tuple[Field, ...], int, dict[int, int], dict[Decision, int]]
MIX: list[Sent] = [
    ("/open", (), 5, {200: 5}, {}),
    ("/nowhere", (), 3, {404: 3}, {}),
    ("/app", (FREE,), 20, {200: 20}, {(AUTHZ, "app", "", *GOOD): 20}),
    ("/app", (), 7, {401: 7}, {(AUTHZ, "app", "authenticate", "deny", "no_credentials"): 7}),
    ("/app", (WRONG,), 4, {401: 4}, {(AUTHZ, "app", "authenticate", "deny", "unknown_api_key"): 4}),
    ("/tokens", (bearer(exp=1_000_000),), 2, {401: 2}, {(AUTHZ, "tokens", "authenticate", "deny", "expired"): 2}),
    ("/tokens", (TOKEN,), 6, {200: 6}, {(AUTHZ, "tokens", "", *GOOD): 6}),
    ("/premium", (FREE,), 5, {403: 5}, {(AUTHZ, "premium", "authorize", "deny", "not_authorized"): 5}),
    ("/premium", (PREMIUM,), 3, {200: 3}, {(AUTHZ, "premium", "", *GOOD): 3}),
    (
        "/counted", (FREE,), 10, {200: 3, 429: 7},
        {(AUTHZ, "counted", "", *GOOD): 3, (AUTHZ, "counted", "limit", "deny", "rate_limited"): 7},
    ),
    (
        "/counted", (FREE, TOKEN), 1, {401: 1},
        {(AUTHZ, "counted", "authenticate", "deny", "several_credentials"): 1},
    ),
    (
        "/few", (), 9, {200: 4, 429: 5},
        {(LIMITS, "few", "", *GOOD): 4, (LIMITS, "few", "limit", "deny", "rate_limited"): 5},
    ),
    ("/broken", (FREE,), 4, {500: 4}, {(AUTHZ, "broken", "authorize", "error", "expression_failed"): 4}),
    ("/model", (), 8, {200: 8}, {(AUTHZ, "model", "", *GOOD): 8}),
    ("/edited/x", (FREE,), 6, {200: 6}, {(AUTHZ, "edited", "", *GOOD): 6, (ANSWERS, "edited", "", *GOOD): 6}),
    ("/edited/x", (), 2, {401: 2}, {(AUTHZ, "edited", "authenticate", "deny", "no_credentials"): 2}),
    ("/failing", (), 3, {500: 3}, {(ANSWERS, "failing", "transform", "error", "expression_failed"): 3}),
]  # fmt: skip


@pytest.fixture(scope="module")
def gateway() -> Iterator[RunningGateway]:
    """One that has been sent the whole mix, each part at once."""
    with started("main") as (upstream,), RunningGateway(GATEWAY, [upstream]) as running:
        answers_json(upstream)
        for path, fields, count, statuses, _ in MIX:
            with ThreadPoolExecutor(8) as pool:
                asked = [pool.submit(running.client.get, path, *fields) for _ in range(count)]
                assert (path, Counter(one.result().status for one in asked)) == (path, statuses)
        yield running


def answers_json(upstream: Upstream) -> None:
    for path in ("/edited/x", "/failing"):
        upstream.answers[path] = Answer(body=b'{"a": 1}')


def scrape(gateway: RunningGateway) -> dict[str, Metric]:
    text = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/metrics")
    assert text
    return {family.name: family for family in parse(text)}


def decisions(gateway: RunningGateway) -> Counter[Decision]:
    found: Counter[Decision] = Counter()
    for sample in scrape(gateway)["extproc_decisions"].samples:
        service, route, policy, decision, reason = (
            sample.labels[name] for name in ("service", "route", "policy", "decision", "reason")
        )
        found[service, route, policy, decision, reason] = int(sample.value)
    return found


def expected() -> Counter[Decision]:
    whole: Counter[Decision] = Counter()
    for *_, taken in MIX:
        whole.update(taken)
    return whole


def test_decisions_are_counted_exactly_as_they_were_sent(gateway: RunningGateway) -> None:
    assert decisions(gateway) == expected()


def logged(gateway: RunningGateway) -> list[dict[str, Any]]:
    """Every line of the decision log, when as many are written as there were decisions."""
    eventually(lambda: len(gateway.decisions()) >= expected().total(), "every decision is written")
    return gateway.decisions()


def test_the_log_has_one_line_for_each_decision_with_the_same_names(gateway: RunningGateway) -> None:
    lines = logged(gateway)
    told = Counter(
        (line["service"], line["route"], line.get("policy", ""), line["result"], line["reason"]) for line in lines
    )
    assert told == decisions(gateway)
    assert len(lines) == expected().total()


def test_a_failure_is_logged_with_the_policy_that_failed_and_the_steps_before_it(gateway: RunningGateway) -> None:
    for line in (line for line in logged(gateway) if line["route"] == "broken"):
        assert (line["result"], line["policy"], line["consumer"]) == ("error", "authorize", "free-caller")
        assert [step["policy"] for step in line["steps"]] == ["authenticate", "authorize"]


def test_two_scrapes_change_nothing(gateway: RunningGateway) -> None:
    first, second = (
        {name: family for name, family in scrape(gateway).items() if name.startswith("extproc") and "_lag_" not in name}
        for _ in range(2)
    )
    assert first == second


def test_every_decision_and_every_step_was_timed(gateway: RunningGateway) -> None:
    found, counted = scrape(gateway), decisions(gateway)
    durations = {
        sample.labels["service"]: sample.value
        for sample in found["extproc_decision_duration_seconds"].samples
        if sample.name.endswith("_count")
    }
    by_service: Counter[str] = Counter()
    for (service, *_), count in counted.items():
        by_service[service] += count
    assert durations == by_service
    steps = {
        sample.labels["policy"]: sample.value
        for sample in found["extproc_policy_duration_seconds"].samples
        if sample.name.endswith("_count")
    }
    ran = Counter(step["policy"] for line in logged(gateway) for step in line.get("steps", []))
    assert steps == ran


def test_the_counters_of_limits_are_told(gateway: RunningGateway) -> None:
    found = scrape(gateway)
    operations = {sample.labels["result"]: sample.value for sample in found["extproc_store_operations"].samples}
    assert operations == {"allowed": 7, "refused": 12}
    assert [sample.value for sample in found["extproc_store_counters"].samples] == [2]
    assert [sample.value for sample in found["extproc_log_lines_dropped"].samples] == [0]


def test_no_caller_is_named(gateway: RunningGateway) -> None:
    text = fetch(f"http://127.0.0.1:{gateway.ports['SIDECAR_ADMIN']}/metrics")
    assert not [word for word in ("free-caller", "token-caller", "127.0.0.1", "/app", "gateway.test") if word in text]

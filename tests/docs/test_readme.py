"""README's list of features, line by line: each is shown by tests that are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.docs.blocks import ROOT

# What a line of the list promises -> the tests that would fail if it were not so.
SHOWN: Final = {
    "One sidecar call a request, or none.": ("tests/e2e/test_demo.py", "tests/plan/test_placement.py"),
    "Authentication": (
        "tests/policies/test_jwt.py",
        "tests/policies/test_api_key_policy.py",
        "tests/policies/test_client_certificate.py",
        "tests/core/test_identity.py",
        "tests/e2e/test_forwarding.py",
    ),
    "TLS": ("tests/e2e/test_tls.py", "tests/e2e/test_upstream_tls.py", "tests/e2e/test_client_certificates.py"),
    "Authorization": (
        "tests/policies/test_authorize_rules.py",
        "tests/policies/test_authorize.py",
        "tests/config/test_expressions.py",
    ),
    "Limits": ("tests/e2e/test_limits.py", "tests/stores/test_counter_contract.py", "tests/core/test_rate_limit.py"),
    "Token budgets of language models": (
        "tests/e2e/test_metering.py",
        "tests/policies/test_meter.py",
        "tests/services/test_metered_streams.py",
        "tests/docs/test_tokens_page.py",
    ),
    "A rate limit service": (
        "tests/e2e/test_ratelimit_files.py",
        "tests/conformance/test_ratelimit.py",
        "tests/config/test_ratelimit_files.py",
        "tests/stores/test_window_contract.py",
    ),
    "Model versions": (
        "tests/core/test_choice.py",
        "tests/policies/test_choose.py",
        "tests/policies/test_choose_callers.py",
        "tests/policies/test_choose_naming.py",
        "tests/e2e/test_models.py",
        "tests/e2e/test_model_fallback.py",
        "tests/e2e/test_model_shadow.py",
        "tests/e2e/test_model_comparison.py",
    ),
    "Evidence": (
        "tests/e2e/test_evidence.py",
        "tests/e2e/test_shared_evidence.py",
        "tests/e2e/test_feedback.py",
        "tests/e2e/test_metered_evidence.py",
        "tests/core/test_ended.py",
        "tests/stores/test_evidence_stores.py",
    ),
    "Rollouts that drive themselves": (
        "tests/e2e/test_rollouts.py",
        "tests/core/test_ramp.py",
        "tests/core/test_sequential.py",
        "tests/core/test_simulated_rollouts.py",
        "tests/app/test_rollout_leaders.py",
        "tests/cli/test_rollout.py",
    ),
    "API versions": ("tests/e2e/test_versions.py", "tests/core/test_lens.py", "tests/app/test_proving.py"),
    "Requests and answers edited": (
        "tests/e2e/test_edited_answers.py",
        "tests/e2e/test_payloads.py",
        "tests/e2e/test_payload_streams.py",
        "tests/policies/test_transform_requests.py",
        "tests/policies/test_transform_answers.py",
    ),
    "Several upstreams, one answer": (
        "tests/e2e/test_aggregates.py",
        "tests/core/test_aggregating.py",
        "tests/docs/test_aggregation_page.py",
        "tests/bench/test_aggregation.py",
    ),
    "Policies of your own": (
        "tests/e2e/test_user_policies.py",
        "tests/plugins/test_registry.py",
        "tests/docs/test_policy_guide.py",
    ),
    "Explained": ("tests/e2e/test_explain_agrees.py", "tests/app/test_explain.py"),
    "Simulated": ("tests/e2e/test_simulate.py", "tests/cli/test_simulate.py"),
    "Accounted for": ("tests/e2e/test_usage.py", "tests/core/test_usage.py", "tests/stores/test_usage_stores.py"),
    "Fails closed": ("tests/e2e/test_failing_closed.py", "tests/telemetry/test_json_recorder.py"),
    "Measured": ("tests/e2e/test_metrics.py", "tests/bench/test_bench.py"),
    "A hardened edge": ("tests/golden/test_hardening.py", "tests/e2e/test_edge.py"),
    "Audited": ("tests/audit/test_envoy_rules.py", "tests/audit/test_gateway_rules.py", "tests/cli/test_audit.py"),
}


def test_every_feature_has_its_tests_and_no_test_a_feature_that_is_gone() -> None:
    listed = (ROOT / "README.md").read_text("utf-8").partition("## What it does today")[2].partition("\n## ")[0]
    assert re.findall(r"^- \*\*(.+?)\*\*", listed, re.MULTILINE) == list(SHOWN)


@pytest.mark.parametrize("file", sorted({file for files in SHOWN.values() for file in files}))
def test_the_tests_of_a_feature_are_there(file: str) -> None:
    assert "def test_" in (ROOT / file).read_text("utf-8")


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("envoy/*.md")]))
def test_a_link_to_a_file_leads_to_one(page: Path) -> None:
    text = page.read_text("utf-8")
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


# What stands where the README's explanation says that it does, in the order of the places.
EXPLAINED: Final = ("- name: orders-v1", "authenticate: company", "authorize: '\"orders:read\" in consumer.scopes'")


def test_the_explanation_names_the_places_where_the_demo_says_so() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    demo = (ROOT / "compose/demo/gateway.yaml").read_text("utf-8").splitlines()
    named = sorted({int(line) for line in re.findall(r"compose/demo/gateway\.yaml:(\d+)", text)})
    assert [demo[line - 1].strip() for line in named] == list(EXPLAINED)

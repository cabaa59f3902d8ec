"""The filter of shared limits is written in the one form that neither crashes Envoy nor lets through."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.golden.conftest import bootstrap_of, cases, plan_of

FILTER: Final = "envoy.filters.http.rate_limit_quota"
SETTINGS: Final = ".RateLimitQuotaBucketSettings"
SHARED: Final = next(case for case in cases() if case.name == "shared.gateway.yaml")


def messages(data: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in a bootstrap."""
    if isinstance(data, dict):
        yield data
    for member in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from messages(member)


def buckets(data: Any) -> list[dict[str, Any]]:
    return [message for message in messages(data) if str(message.get("@type", "")).endswith(SETTINGS)]


def matchers(data: Any) -> list[dict[str, Any]]:
    return [message for message in messages(data) if "matcher_tree" in message or "matcher_list" in message]


def filters(case: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each manager, and the filter in it."""
    for listener in bootstrap_of(case)["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][-1]["typed_config"]
        for item in manager["http_filters"]:
            if item["name"] == FILTER:
                yield manager, item


def test_it_is_there_exactly_where_a_plan_shares_a_limit(case: Path) -> None:
    assert bool(list(filters(case))) == bool(plan_of(case).quotas)


def test_it_stands_behind_whoever_says_who_is_asking(case: Path) -> None:
    for manager, _ in filters(case):
        names = [item["name"].removeprefix("envoy.filters.http.") for item in manager["http_filters"]]
        assert names.index("header_mutation") < names.index("ext_authz") < names.index("rate_limit_quota")


def test_before_an_assignment_nobody_is_admitted_and_no_token_bucket_ends_envoy(case: Path) -> None:
    for bucket in buckets(bootstrap_of(case)):
        assert bucket["no_assignment_behavior"] == {"fallback_rate_limit": {"blanket_rule": "DENY_ALL"}}


def test_an_assignment_that_ended_becomes_a_token_bucket() -> None:
    found = buckets(bootstrap_of(SHARED))
    assigned = [bucket for bucket in found if "expired_assignment_behavior" in bucket]
    assert len(assigned) == 4
    for bucket in assigned:
        (fallback,) = bucket["expired_assignment_behavior"]["fallback_rate_limit"].items()
        name, tokens = fallback
        assert name == "token_bucket"
        assert tokens["max_tokens"] >= 1
        assert tokens["tokens_per_fill"] >= 1
        assert re.fullmatch(r"[1-9][0-9]*s", tokens["fill_interval"]), "Envoy divides by whole seconds"
    closed = [bucket for bucket in found if "expired_assignment_behavior" not in bucket]
    assert {bucket["bucket_id_builder"]["bucket_id_builder"]["extproc.limit"]["string_value"] for bucket in closed} == {
        "none"
    }


def test_what_matches_nothing_has_the_bucket_that_admits_nobody() -> None:
    found = matchers(bootstrap_of(SHARED))
    assert len(found) == 5
    for matcher in found:
        bucket = matcher["on_no_match"]["action"]["typed_config"]
        assert bucket["bucket_id_builder"]["bucket_id_builder"]["extproc.limit"] == {"string_value": "none"}


def test_a_value_of_a_bucket_id_is_looked_for_before_it_is_read() -> None:
    for matcher in matchers(bootstrap_of(SHARED)):
        tree = matcher.get("matcher_tree", {}).get("exact_match_map", {}).get("map", {})
        for match in tree.values():
            named = buckets(match.get("action", {}))
            assert all("extproc.consumer" not in one["bucket_id_builder"]["bucket_id_builder"] for one in named)


def test_only_headers_are_read_for_other_inputs_limit_nothing() -> None:
    kinds = {
        message["@type"].rpartition(".")[2]
        for _, item in filters(SHARED)
        for message in messages(item)
        if str(message.get("@type", "")).startswith("type.googleapis.com/envoy.type.matcher")
    }
    assert kinds == {"HttpRequestHeaderMatchInput"}


def test_every_route_says_which_limit_it_has_or_switches_the_filter_off(case: Path) -> None:
    for manager, item in filters(case):
        assert "disabled" not in item
        for host in manager["route_config"]["virtual_hosts"]:
            for route in host["routes"]:
                own = route["typed_per_filter_config"]
                said = (
                    own.get("envoy.filters.http.header_mutation", {}).get("mutations", {}).get("request_mutations", [])
                )
                assert (own.get(FILTER) == {**own.get(FILTER, {}), "disabled": True}) == (not said), route["name"]
                if said:
                    assert said[0]["append"]["append_action"] == "OVERWRITE_IF_EXISTS_OR_ADD"
                    assert said[0]["append"]["header"]["key"] in route["request_headers_to_remove"]

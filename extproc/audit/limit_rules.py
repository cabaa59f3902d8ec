"""How often: the filters ratelimit, local_ratelimit and rate_limit_quota (EX4xx)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.audit.edge_rules import DOCS
from extproc.audit.envoy import LOCAL_RATELIMIT, QUOTA, RATELIMIT, Envoy
from extproc.audit.node import Node
from extproc.audit.places import if_for_ever, of, unless_true, unless_written
from extproc.audit.routes import Site, limits, sites
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

PROTO: Final = DOCS + "api-v3/extensions/filters/http/ratelimit/v3/rate_limit.proto"
ROUTE: Final = DOCS + "api-v3/config/route/v3/route_components.proto"
LOCAL: Final = DOCS + "api-v3/extensions/filters/http/local_ratelimit/v3/local_rate_limit.proto"
QUOTAS: Final = DOCS + "api-v3/extensions/filters/http/rate_limit_quota/v3/rate_limit_quota.proto"
WHOLE: Final = {"HUNDRED": 100, "TEN_THOUSAND": 10_000, "MILLION": 1_000_000, "1": 10_000, "2": 1_000_000}
# What validates as a bucket's input, and then matches nothing.
DEAF_INPUTS: Final = ("DynamicMetadataInput", "HttpAttributesCelMatchInput")


def _skipped(envoy: Envoy) -> Iterator[Node]:
    """The filter asks nobody where the route's cluster is not known when it runs."""
    for site in sites(envoy):
        status = site.route.get("direct_response", "status").text
        if site.route.get("route", "cluster_header").written or status.startswith("2"):
            yield from (found for found in limits(site) if _uses_ratelimit(site, envoy))


def _uses_ratelimit(site: Site, envoy: Envoy) -> bool:
    if site.manager is None:
        return bool(envoy.of(RATELIMIT))
    return any(item.get("typed_config").kind == RATELIMIT for item in site.filters())


def _actions(envoy: Envoy) -> Iterator[Node]:
    seen = set()
    for site in sites(envoy):
        for found in limits(site):
            if found.path not in seen:
                seen.add(found.path)
                yield from (action for limit in found.each() for action in limit.get("actions").each())


def _evaded(envoy: Envoy) -> Iterator[Node]:
    """An action without a value drops its descriptor, and the limit with it."""
    for action in _actions(envoy):
        for name in ("request_headers", "query_parameters"):
            own = action.get(name)
            if own.written and not own.get("skip_if_absent").true and not own.get("header_name").text.startswith(":"):
                yield own


def _whole_addresses(envoy: Envoy) -> Iterator[Node]:
    return (action.get("remote_address") for action in _actions(envoy) if action.get("remote_address").written)


def _share(fraction: Node) -> float:
    percent = fraction.get("default_value")
    return (percent.get("numerator").number or 0) / WHOLE.get(percent.get("denominator").text or "HUNDRED", 100)


def _not_always(local: Node) -> Iterator[Node]:
    """Both are 0 % where they are left out."""
    if local.get("token_bucket").written or local.get("descriptors").written:
        yield from (local.get(name) for name in ("filter_enabled", "filter_enforced") if _share(local.get(name)) < 1)


def _forgotten(local: Node) -> Iterator[Node]:
    """A wildcard descriptor: an entry with a key and no value."""
    for descriptor in local.get("descriptors").each():
        if any(not entry.get("value").text for entry in descriptor.get("entries").each()):
            yield descriptor


def _buckets(quota: Node) -> Iterator[Node]:
    """The settings of every bucket in the tree of matchers."""
    return (node.message for node in quota.inside() if node.kind.endswith(".RateLimitQuotaBucketSettings"))


def _crashes(quota: Node) -> Iterator[Node]:
    for bucket in _buckets(quota):
        fallback = bucket.get("no_assignment_behavior", "fallback_rate_limit", "token_bucket")
        yield from (fallback,) if fallback.written else ()


def _unlimited_at_first(quota: Node) -> Iterator[Node]:
    """Anything but DENY_ALL admits; a token bucket does worse, and has a rule of its own."""
    for bucket in _buckets(quota):
        strategy = bucket.get("no_assignment_behavior", "fallback_rate_limit")
        if strategy.get("blanket_rule").text not in ("DENY_ALL", "1") and not strategy.get("token_bucket").written:
            yield strategy


def _unlimited_alone(quota: Node) -> Iterator[Node]:
    """Where nothing is said of it at all, an assignment that ended is as none was there: DENY_ALL is closed."""
    for bucket in _buckets(quota):
        before = bucket.get("no_assignment_behavior", "fallback_rate_limit", "blanket_rule").text
        if before in ("DENY_ALL", "1") and not bucket.get("expired_assignment_behavior").written:
            continue
        yield from unless_written("expired_assignment_behavior", "fallback_rate_limit", "token_bucket")(bucket)


def _deaf(quota: Node) -> Iterator[Node]:
    return (node for node in quota.inside() if node.kind.endswith(DEAF_INPUTS))


def _unmatched(quota: Node) -> Iterator[Node]:
    return iter(unless_written("bucket_matchers", "on_no_match")(quota))


RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX401", Severity.MEDIUM,
        "The limiter has 20 ms to answer by default, and a late answer admits the request.",
        "Set timeout, to 100ms or more.",
        PROTO, of(RATELIMIT, unless_written("timeout")),
    ),
    Rule(
        "EX402", Severity.MEDIUM,
        "When the limiter does not answer, every request is admitted.",
        "Set failure_mode_deny: true, where a limit protects something.",
        PROTO, of(RATELIMIT, lambda limit: () if limit.get("failure_mode_deny_percent").written
                  else unless_true("failure_mode_deny")(limit)),
    ),
    Rule(
        "EX403", Severity.HIGH,
        "The filter is skipped where the route's cluster is not known before: a route by cluster_header, or an answer "
        "of Envoy's own, has no limit.",
        "Name a cluster that exists in place of direct_response, or limit in ext_authz.",
        ROUTE, _skipped,
    ),
    Rule(
        "EX404", Severity.MEDIUM,
        "A request without this header or parameter makes no descriptor, and is not limited.",
        "Set skip_if_absent: true, so that the rest of the descriptor counts.",
        ROUTE, _evaded,
    ),
    Rule(
        "EX405", Severity.LOW,
        "Whoever has an IPv6 network has 2^64 addresses, each with a limit of its own.",
        "Use masked_remote_address with v6_prefix_mask_len: 64.",
        ROUTE, _whole_addresses,
    ),
    Rule(
        "EX406", Severity.MEDIUM,
        "A request waits for ever for a limiter that does not answer.",
        "Set a timeout that is not zero.",
        PROTO, of(RATELIMIT, if_for_ever("timeout")),
    ),
    Rule(
        "EX411", Severity.HIGH,
        "The filter limits nothing, or a share of requests: it is off, and enforces nothing, unless it is told to.",
        "Set filter_enabled and filter_enforced to 100 percent.",
        LOCAL, of(LOCAL_RATELIMIT, _not_always),
    ),
    Rule(
        "EX412", Severity.MEDIUM,
        "Only max_dynamic_descriptors values (20) are remembered, so a client that changes the value starts anew.",
        "Set max_dynamic_descriptors above the number of consumers, and take the value from what was authenticated.",
        LOCAL, of(LOCAL_RATELIMIT, _forgotten),
    ),
    Rule(
        "EX421", Severity.HIGH,
        "A token bucket as no_assignment_behavior ends Envoy with a segmentation fault on the bucket's second request.",
        "Use blanket_rule: DENY_ALL there.",
        QUOTAS, of(QUOTA, _crashes),
    ),
    Rule(
        "EX422", Severity.MEDIUM,
        "Until the server's first assignment, a consumer that it does not know yet is unlimited.",
        "Set no_assignment_behavior.fallback_rate_limit.blanket_rule: DENY_ALL.",
        QUOTAS, of(QUOTA, _unlimited_at_first),
    ),
    Rule(
        "EX423", Severity.MEDIUM,
        "When the quota server is gone and its assignment over, nothing is limited, not even by reuse_last_assignment.",
        "Set expired_assignment_behavior.fallback_rate_limit.token_bucket.",
        QUOTAS, of(QUOTA, _unlimited_alone),
    ),
    Rule(
        "EX424", Severity.HIGH,
        "A bucket by dynamic metadata or CEL is accepted, and limits nothing.",
        "Match on a request header that the gateway sets, or on filter state.",
        QUOTAS, of(QUOTA, _deaf),
    ),
    Rule(
        "EX425", Severity.MEDIUM,
        "A request that matches no bucket is admitted, and not reported.",
        "Write bucket_matchers.on_no_match.",
        QUOTAS, of(QUOTA, _unmatched),
    ),
)  # fmt: skip

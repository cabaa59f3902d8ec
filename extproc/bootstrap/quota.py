"""The filter that judges shared limits by itself, in the one form that neither crashes Envoy 1.40 nor lets through.

- It takes no settings from a route: the first filter writes a header that says which limit is meant, and routes without
  one switch the filter off.
- What matches nothing passes, so that every matcher ends in a bucket that admits nobody. A value that is not there
  makes no bucket id, and then the request passes too: hence it is looked for first.
- Before the first assignment nobody is admitted: without a say everybody would be, and a token bucket as a fallback
  there passes validation and ends Envoy at the bucket's second request.
- An assignment that ended, as when the sidecar is away, becomes the floor: a token bucket, which limits then as well.
- The fill interval of a bucket has whole seconds, or Envoy divides by zero and admits everybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from betterproto2 import Message
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route_config
from envoy_data_plane.envoy.extensions.filters.http.header_mutation import v3 as header_mutation
from envoy_data_plane.envoy.extensions.filters.http.rate_limit_quota import v3 as quota_filter
from envoy_data_plane.envoy.type import v3 as envoy_type
from envoy_data_plane.envoy.type.matcher import v3 as inputs
from envoy_data_plane.xds.core import v3 as xds
from envoy_data_plane.xds.type.matcher import v3 as matching

from extproc.bootstrap.names import SIDECAR_CLUSTER, packed, seconds
from extproc.core.names import (
    CONSUMER_ID,
    CONSUMER_TIER,
    DOMAIN,
    LIMIT,
    NO_QUOTA,
    QUOTA_CONSUMER,
    QUOTA_HEADER,
    REVISION,
)
from extproc.core.quota import Quota
from extproc.plan.model import Plan, RoutePlan
from extproc.plan.shared import SharedLimit, quota_key

REPORTING: Final = 5.0  # what Envoy 1.40 does whatever is written
FALLBACK: Final = 30 * 86_400.0  # then the bucket is without an assignment: closed
DENY: Final = envoy_type.RateLimitStrategy(blanket_rule=envoy_type.RateLimitStrategyBlanketRule.DENY_ALL)
TOO_MANY: Final = envoy_type.HttpStatus(code=envoy_type.StatusCode.TooManyRequests)
OVERWRITE: Final = core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
Settings = quota_filter.RateLimitQuotaBucketSettings
Builder = quota_filter.RateLimitQuotaBucketSettingsBucketIdBuilder
Value = quota_filter.RateLimitQuotaBucketSettingsBucketIdBuilderValueBuilder


def rate_limit_quota(plan: Plan) -> Message:
    shared = {item.name: item for route in plan.routes if (item := route.placement.shared)}
    named = {name: _whose(plan, item) for name, item in shared.items()}
    return quota_filter.RateLimitQuotaFilterConfig(
        # A stream is for ever: it has no deadline.
        rlqs_server=core.GrpcService(envoy_grpc=core.GrpcServiceEnvoyGrpc(cluster_name=SIDECAR_CLUSTER)),
        domain=DOMAIN,
        bucket_matchers=_by(plan, QUOTA_HEADER, named),
    )


def rate_limit_quota_route(plan: Plan, route: RoutePlan | None) -> Message | None:
    if route is not None and route.placement.shared:
        return None
    return route_config.FilterConfig(disabled=True)


def quota_header(plan: Plan, route: RoutePlan | None) -> Message | None:
    """Says which shared limit the route has."""
    if route is None or not route.placement.shared:
        return None
    header = core.HeaderValue(key=QUOTA_HEADER, value=route.placement.shared.name)
    said = mutation_rules.HeaderMutation(append=core.HeaderValueOption(header=header, append_action=OVERWRITE))
    return header_mutation.HeaderMutationPerRoute(mutations=header_mutation.Mutations(request_mutations=[said]))


def _whose(plan: Plan, shared: SharedLimit) -> matching.MatcherOnMatch:
    if not shared.by_tier:
        return _of_somebody(plan, shared, shared.quotas[""])
    return _nested(
        _by(plan, CONSUMER_TIER, {tier: _of_somebody(plan, shared, quota) for tier, quota in shared.quotas.items()})
    )


def _of_somebody(plan: Plan, shared: SharedLimit, quota: Quota) -> matching.MatcherOnMatch:
    judged = _action(_judged(plan, shared, quota))
    if not shared.per_consumer:
        return judged
    present = matching.MatcherMatcherListPredicateSinglePredicate(
        input=_input(CONSUMER_ID),
        value_match=matching.StringMatcher(
            safe_regex=matching.RegexMatcher(google_re2=matching.RegexMatcherGoogleRe2(), regex=".+")
        ),
    )
    one = matching.MatcherMatcherListFieldMatcher(
        predicate=matching.MatcherMatcherListPredicate(single_predicate=present), on_match=judged
    )
    return _nested(
        matching.Matcher(matcher_list=matching.MatcherMatcherList(matchers=[one]), on_no_match=_action(_nobody(plan)))
    )


def _by(plan: Plan, header: str, values: Mapping[str, matching.MatcherOnMatch]) -> matching.Matcher:
    return matching.Matcher(
        matcher_tree=matching.MatcherMatcherTree(
            input=_input(header), exact_match_map=matching.MatcherMatcherTreeMatchMap(map=dict(values))
        ),
        on_no_match=_action(_nobody(plan)),
    )


def _judged(plan: Plan, shared: SharedLimit, quota: Quota) -> Settings:
    parts = {REVISION: Value(string_value=plan.revision), LIMIT: Value(string_value=quota_key(quota.limit))}
    if shared.per_consumer:
        name = core.TypedExtensionConfig(name=CONSUMER_ID, typed_config=_input(CONSUMER_ID).typed_config)
        parts[QUOTA_CONSUMER] = Value(custom_value=name)
    floor = envoy_type.TokenBucket(
        max_tokens=quota.capacity, tokens_per_fill=quota.floor, fill_interval=seconds(quota.interval)
    )
    return Settings(
        bucket_id_builder=Builder(bucket_id_builder=parts),
        reporting_interval=seconds(REPORTING),
        deny_response_settings=_too_many(quota),
        no_assignment_behavior=_closed(),
        expired_assignment_behavior=quota_filter.RateLimitQuotaBucketSettingsExpiredAssignmentBehavior(
            expired_assignment_behavior_timeout=seconds(FALLBACK),
            fallback_rate_limit=envoy_type.RateLimitStrategy(token_bucket=floor),
        ),
    )


def _too_many(quota: Quota) -> quota_filter.RateLimitQuotaBucketSettingsDenyResponseSettings:
    """Its headers are the same for everybody: the time in which the whole limit gains a request."""
    wait = max(1, -(-quota.limit.period // quota.limit.count))
    header = core.HeaderValue(key="retry-after", value=str(wait))
    return quota_filter.RateLimitQuotaBucketSettingsDenyResponseSettings(
        http_status=TOO_MANY,
        response_headers_to_add=[core.HeaderValueOption(header=header, append_action=OVERWRITE)],
    )


def _nobody(plan: Plan) -> Settings:
    """For requests that say no limit, tier or caller that the plan knows. The sidecar never assigns it anything."""
    parts = {REVISION: Value(string_value=plan.revision), LIMIT: Value(string_value=NO_QUOTA)}
    return Settings(
        bucket_id_builder=Builder(bucket_id_builder=parts),
        reporting_interval=seconds(REPORTING),
        no_assignment_behavior=_closed(),
    )


def _closed() -> quota_filter.RateLimitQuotaBucketSettingsNoAssignmentBehavior:
    return quota_filter.RateLimitQuotaBucketSettingsNoAssignmentBehavior(fallback_rate_limit=DENY)


def _input(header: str) -> xds.TypedExtensionConfig:
    return xds.TypedExtensionConfig(name=header, typed_config=packed(inputs.HttpRequestHeaderMatchInput(header)))


def _action(settings: Settings) -> matching.MatcherOnMatch:
    return matching.MatcherOnMatch(action=xds.TypedExtensionConfig(name="bucket", typed_config=packed(settings)))


def _nested(matcher: matching.Matcher) -> matching.MatcherOnMatch:
    return matching.MatcherOnMatch(matcher=matcher)

"""The Plan's routes as Envoy's: virtual hosts by domain, in each of them the routes in the operator's order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.config.route import v3 as route
from envoy_data_plane.envoy.type.matcher import v3 as matcher

from extproc.bootstrap.filters import route_filters
from extproc.bootstrap.models import copying, standing_in, told
from extproc.bootstrap.names import DEAD_END, NO_ROUTE, ODD, packed, retries, seconds
from extproc.core.limits import IPV6_SITE_PREFIX, Limit, Per
from extproc.core.media_type import accept_pattern
from extproc.core.names import (
    CLUSTER_HEADER,
    LIMIT,
    MODEL_FALLBACK,
    MODEL_VERSION,
    QUOTA_HEADER,
    REVISION,
    ROUTE,
    SHADOW_HEADER,
    model_cluster,
    upstream_cluster,
)
from extproc.core.specs import ChooseSpec
from extproc.core.versions import fields_of
from extproc.plan.model import (
    FieldMatch,
    MatchPlan,
    Plan,
    RoutePlan,
    ToAggregate,
    ToModel,
    ToRedirect,
    ToUpstream,
    UpstreamPlan,
    ValueRule,
    ours_of,
)
from extproc.plan.routing import ANY, HOST, ODD_PATH, domains, serves
from extproc.plan.times import STREAM_IDLE, try_time, upstreams_of, whole_time

# Safe for every method: none of them can be after the upstream began to act on the request.
LINK: Final = "link"
RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"
REDIRECTS: Final = {
    301: route.RedirectActionRedirectResponseCode.MOVED_PERMANENTLY,
    302: route.RedirectActionRedirectResponseCode.FOUND,
    303: route.RedirectActionRedirectResponseCode.SEE_OTHER,
    307: route.RedirectActionRedirectResponseCode.TEMPORARY_REDIRECT,
    308: route.RedirectActionRedirectResponseCode.PERMANENT_REDIRECT,
}


def route_configuration(plan: Plan) -> route.RouteConfiguration:
    return route.RouteConfiguration(
        name="extproc",
        virtual_hosts=[_virtual_host(plan, domain) for domain in domains(plan)],
        validate_clusters=True,
    )


def _virtual_host(plan: Plan, domain: str) -> route.VirtualHost:
    """Envoy picks the one closest domain and looks nowhere else, so each gets every route that serves it."""
    served = [one for item in plan.routes if serves(item.match, domain) for one in _routes(plan, item)]
    return route.VirtualHost(name=domain, domains=[domain], routes=[*_odd(plan, domain), *served, *_no_route(plan)])


def _odd(plan: Plan, domain: str) -> list[route.Route]:
    """Before all others: what an upstream may take for another host or path than the one that was judged."""
    matches = [route.RouteMatch(safe_regex=matcher.RegexMatcher(regex=ODD_PATH))]
    if ANY in domain:  # any other domain is the whole host, and a good one
        named = matcher.StringMatcher(safe_regex=matcher.RegexMatcher(regex=HOST))
        other = route.HeaderMatcher(name=":authority", string_match=named, invert_match=True)
        matches.append(route.RouteMatch(prefix="/", headers=[other]))
    return [_answered(plan, ODD, match, HTTPStatus.BAD_REQUEST) for match in matches]


def _no_route(plan: Plan) -> list[route.Route]:
    """Without them a request that matches nothing would be called about, and refused as closed rather than unknown."""
    # A CONNECT matches no prefix (route_components.proto: RouteMatch.connect_matcher), and with no route at all the
    # buffer filter would wait for the end of its body, which never comes.
    matches = (route.RouteMatch(prefix="/"), route.RouteMatch(connect_matcher=route.RouteMatchConnectMatcher()))
    return [_answered(plan, NO_ROUTE, match, HTTPStatus.NOT_FOUND) for match in matches]


def _answered(plan: Plan, name: str, match: route.RouteMatch, status: HTTPStatus) -> route.Route:
    """By Envoy itself: nobody is called."""
    return route.Route(
        name=name,
        match=match,
        direct_response=route.DirectResponseAction(status=status.value),
        typed_per_filter_config={name: packed(config) for name, config in route_filters(plan, None).items()},
    )


def _routes(plan: Plan, item: RoutePlan) -> list[route.Route]:
    """Of a route to models, one more for each whose requests Envoy must treat in another way. Which it is the answer of
    ext_authz says, by headers that no client can send; with them the route is looked up again, and they come first."""
    if not isinstance(item.target, ToModel):
        return [_route(plan, item)]
    several = len(item.target.models) > 1
    copied = [_model_route(plan, item, model, _is_shadowed(model)) for model in item.target.models if _copies(model)]
    apart = [
        _model_route(plan, item, model, _is_of(model)) for model in item.target.models if several and model.fallback
    ]
    plain = _route(plan, item) if several else _model_route(plan, item, item.target.models[0])
    return [*copied, *apart, plain]


def _copies(model: ChooseSpec) -> bool:
    return model.shadow is not None and model.shadow.compare is None


def _is_shadowed(model: ChooseSpec) -> route.HeaderMatcher:
    return route.HeaderMatcher(name=SHADOW_HEADER, string_match=matcher.StringMatcher(exact=model.model))


def _is_of(model: ChooseSpec) -> route.HeaderMatcher:
    return route.HeaderMatcher(
        name=CLUSTER_HEADER, string_match=matcher.StringMatcher(prefix=model_cluster(model.model, ""))
    )


def _model_route(
    plan: Plan, item: RoutePlan, model: ChooseSpec, when: route.HeaderMatcher | None = None
) -> route.Route:
    result = _route(plan, item)
    action = result.route
    if result.match is None or action is None:
        raise ValueError(f"route {item.name} leads nowhere")
    if when is not None:
        result.match.headers.append(when)
    if model.fallback is not None:
        action.retry_policy = standing_in(model, try_time(plan, item, model))
        result.response_headers_to_add += told(model)
    if when is not None and when.name == SHADOW_HEADER:
        action.request_mirror_policies = [copying(model)]
    if model.fallback is not None or action.request_mirror_policies:
        # What is sent again, or twice, must be kept; beyond 32 KiB Envoy would give up on it without a word.
        result.request_body_buffer_limit = item.body_limit
    return result


def _route(plan: Plan, item: RoutePlan) -> route.Route:
    result = route.Route(
        name=item.name,
        match=_match(item.match),
        typed_per_filter_config={name: packed(config) for name, config in route_filters(plan, item).items()},
        response_headers_to_add=[*_version_fields(item), *_varying(item)],
    )
    if isinstance(item.target, ToRedirect):
        result.redirect = _redirect(item.match, item.target)
        return result
    result.route = _action(plan, item)
    removed = list(ours_of(item.target)) if isinstance(item.target, ToModel) else []
    if isinstance(item.target, ToModel):  # an upstream's own would be taken for ours; they go before ours are added
        result.response_headers_to_remove = [MODEL_VERSION, MODEL_FALLBACK]
    removed += [QUOTA_HEADER] if item.placement.shared else []
    # An edited answer must arrive as plain text: ext_proc shows bodies as they are encoded.
    result.request_headers_to_remove = [*removed, "accept-encoding"] if item.placement.edits_body else removed
    return result


def _version_fields(item: RoutePlan) -> list[core.HeaderValueOption]:
    """What is said of a version does not depend on the time, so nobody need be asked. Of an answer's own links ours is
    one more; when a version ends is the gateway's to say."""
    said = fields_of(item.version.version, item.version.successor_at) if item.version else ()
    return [_added(name, value, also=name == LINK) for name, value in said]


def _varying(item: RoutePlan) -> list[core.HeaderValueOption]:
    """A cache must not give one version's answer to who asked for another (RFC 9110 §12.5.5)."""
    chosen = [field for field in item.match.headers if field.rule is ValueRule.MEDIA_TYPE]
    return [_added("vary", field.name, also=True) for field in chosen]


def _added(name: str, value: str, *, also: bool) -> core.HeaderValueOption:
    """A percent sign would begin a command of Envoy's (substitution formatter)."""
    action = core.HeaderValueOptionHeaderAppendAction
    return core.HeaderValueOption(
        header=core.HeaderValue(key=name, value=value.replace("%", "%%")),
        append_action=action.APPEND_IF_EXISTS_OR_ADD if also else action.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def _action(plan: Plan, item: RoutePlan) -> route.RouteAction:
    aggregate = isinstance(item.target, ToAggregate)
    action = route.RouteAction(
        timeout=seconds(whole_time(plan, item) or 0),
        retry_policy=None if aggregate else _retries(upstreams_of(plan, item)),
        rate_limits=[_rate_limit(plan, item, limit) for limit in item.placement.descriptors],
    )
    if item.stream:
        action.idle_timeout = seconds(STREAM_IDLE)
    if aggregate:
        action.cluster = DEAD_END
    elif isinstance(item.target, ToModel):
        action.cluster_header = CLUSTER_HEADER
    elif isinstance(item.target, ToUpstream):
        action.cluster = upstream_cluster(item.target.upstream)
    return action


def _retries(upstreams: Sequence[UpstreamPlan]) -> route.RetryPolicy | None:
    """Of several versions the most cautious: the fewest retries, the longest time for each."""
    number = min(upstream.retries for upstream in upstreams)
    if number == 0:
        return None
    timeouts = [upstream.timeout for upstream in upstreams]
    longest = max((timeout for timeout in timeouts if timeout is not None), default=None)
    return retries(RETRY_ON, number, None if None in timeouts else longest)


def _rate_limit(plan: Plan, item: RoutePlan, limit: Limit) -> route.RateLimit:
    """Constants first: an action that yields nothing drops the whole descriptor, and with it the limit."""
    constants = {ROUTE: item.name, LIMIT: limit.name, REVISION: plan.revision}
    actions = [
        route.RateLimitAction(generic_key=route.RateLimitActionGenericKey(descriptor_key=key, descriptor_value=value))
        for key, value in constants.items()
    ]
    if limit.per is Per.ADDRESS:
        masked = route.RateLimitActionMaskedRemoteAddress(v4_prefix_mask_len=32, v6_prefix_mask_len=IPV6_SITE_PREFIX)
        actions.append(route.RateLimitAction(masked_remote_address=masked))
    return route.RateLimit(actions=actions)


def _match(match: MatchPlan) -> route.RouteMatch:
    result = route.RouteMatch(
        headers=[*_methods(match), *(_header(item) for item in match.headers)],
        query_parameters=[_query(item) for item in match.query],
    )
    if match.path is not None:
        result.path = match.path
    elif match.path_prefix is not None and match.path_prefix.endswith("/"):
        result.prefix = match.path_prefix
    else:
        result.path_separated_prefix = match.path_prefix
    return result


def _methods(match: MatchPlan) -> list[route.HeaderMatcher]:
    if not match.methods:
        return []
    pattern = matcher.RegexMatcher(regex="|".join(match.methods))
    return [route.HeaderMatcher(name=":method", string_match=matcher.StringMatcher(safe_regex=pattern))]


def _header(item: FieldMatch) -> route.HeaderMatcher:
    if item.rule is ValueRule.PRESENT:
        return route.HeaderMatcher(name=item.name, present_match=True)
    return route.HeaderMatcher(name=item.name, string_match=_text(item))


def _query(item: FieldMatch) -> route.QueryParameterMatcher:
    if item.rule is ValueRule.PRESENT:
        return route.QueryParameterMatcher(name=item.name, present_match=True)
    return route.QueryParameterMatcher(name=item.name, string_match=_text(item))


def _text(item: FieldMatch) -> matcher.StringMatcher:
    if item.rule is ValueRule.MEDIA_TYPE:
        return matcher.StringMatcher(safe_regex=matcher.RegexMatcher(regex=accept_pattern(item.value)))
    return (
        matcher.StringMatcher(prefix=item.value)
        if item.rule is ValueRule.PREFIX
        else matcher.StringMatcher(exact=item.value)
    )


def _redirect(match: MatchPlan, target: ToRedirect) -> route.RedirectAction:
    """A prefix keeps what follows it; an exact path is replaced whole. The query is kept."""
    parts = urlsplit(target.to)
    result = route.RedirectAction(response_code=REDIRECTS[target.status])
    if parts.scheme:
        result.scheme_redirect = parts.scheme
        result.host_redirect = parts.hostname or ""
        result.port_redirect = parts.port or 0
    if match.path_prefix is None:
        result.path_redirect = re.sub(r"^https?://[^/]+", "", target.to)
    elif match.path_prefix.endswith("/"):
        result.prefix_rewrite = parts.path.rstrip("/") + "/"
    elif parts.path.endswith("/"):
        # `prefix_rewrite` swaps the prefix and keeps the slash behind it (route_components.proto): /old/x would be //x.
        result.regex_rewrite = _swap(match.path_prefix, parts.path)
    else:
        result.prefix_rewrite = parts.path
    return result


def _swap(prefix: str, path: str) -> matcher.RegexMatchAndSubstitute:
    return matcher.RegexMatchAndSubstitute(
        pattern=matcher.RegexMatcher(regex=f"^{re.escape(prefix)}/?"), substitution=path.replace("\\", "\\\\")
    )

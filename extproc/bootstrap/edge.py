"""The connection manager's hardening: what a client may not send, and what it gets when Envoy itself refuses."""

from __future__ import annotations

from typing import Final

from envoy_data_plane.envoy.config.accesslog import v3 as accesslog
from envoy_data_plane.envoy.config.common.mutation_rules import v3 as mutation_rules
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.extensions.access_loggers.filters.cel import v3 as cel_filter
from envoy_data_plane.envoy.extensions.access_loggers.stream import v3 as stream_log
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm
from envoy_data_plane.envoy.extensions.http.early_header_mutation.header_mutation import v3 as early_mutation
from envoy_data_plane.envoy.type.matcher import v3 as matcher
from envoy_data_plane.google.protobuf import Struct

from extproc.bootstrap.names import packed
from extproc.core.decision import UNCACHED
from extproc.core.names import DECISION_NAMESPACE, ENVOY_PREFIX, LOGGED, OWNED_PREFIXES, REPLY_DETAILS, UNTRUSTED

# Status -> reason code and sentence of a refusal that Envoy makes itself.
REASONS: Final = {
    400: ("bad_request", "the request is not well-formed"),
    403: ("closed", "this route is closed"),
    404: ("no_route", "no route matches this request"),
    408: ("request_timeout", "the request did not arrive in time"),
    413: ("body_too_large", "the body is larger than this route allows"),
    426: ("upgrade_required", "this protocol version is not served"),
    429: ("rate_limited", "too many requests"),
    431: ("headers_too_large", "the header section is too large"),
    500: ("gateway_error", "the gateway failed"),
    501: ("not_implemented", "this framing of a body is not served"),
    502: ("bad_upstream", "the upstream's answer was not understood"),
    503: ("unavailable", "the gateway or the upstream cannot answer now"),
    504: ("upstream_timeout", "the upstream did not answer in time"),
}
# Of any other status from 400 on: whatever Envoy says by itself may tell of what is behind it.
OTHER: Final = ("refused", "the gateway refused the request")
# The sidecar's own refusals have their body already.
OWN_BODY: Final = (
    "response.code_details in ['ext_authz_denied', 'request_rate_limited']"
    f" || response.code_details.startsWith('{REPLY_DETAILS}')"
)

LOG_FIELDS: Final = {
    "time": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "route": "%ROUTE_NAME%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ)%",
    "host": "%REQ(:AUTHORITY)%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "duration_ms": "%DURATION%",
    "address": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "upstream": "%UPSTREAM_CLUSTER%",
    "upstream_address": "%UPSTREAM_HOST%",
}


def remove_prefix(prefix: str) -> mutation_rules.HeaderMutation:
    return mutation_rules.HeaderMutation(
        remove_on_match=mutation_rules.HeaderMutationRemoveOnMatch(key_matcher=matcher.StringMatcher(prefix=prefix))
    )


def early_header_mutation() -> core.TypedExtensionConfig:
    """Runs before the route is looked up, so that nothing a client forged is seen by anything."""
    removed = [mutation_rules.HeaderMutation(remove=name) for name in UNTRUSTED]
    removed += [remove_prefix(prefix) for prefix in (ENVOY_PREFIX, *OWNED_PREFIXES)]
    return core.TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation",
        typed_config=packed(early_mutation.HeaderMutation(mutations=removed)),
    )


def local_replies() -> hcm.LocalReplyConfig:
    """Envoy's own refusals as problem+json. Mapping by status alone would overwrite the sidecar's bodies too."""
    known = [_mapper(f"== {status}", *said) for status, said in REASONS.items()]
    return hcm.LocalReplyConfig(mappers=[*known, _mapper(">= 400", *OTHER)])


def _mapper(status: str, reason: str, detail: str) -> hcm.ResponseMapper:
    body = {"type": "about:blank", "status": "%RESPONSE_CODE%", "reason": reason, "detail": detail}
    fields = [core.HeaderValue(key=name, value=value) for name, value in UNCACHED]
    return hcm.ResponseMapper(
        filter=_when(f"response.code {status} && !({OWN_BODY})"),
        headers_to_add=[
            core.HeaderValueOption(
                header=item, append_action=core.HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
            )
            for item in fields
        ],
        body_format_override=core.SubstitutionFormatString(
            json_format=Struct.from_dict(body), content_type="application/problem+json"
        ),
    )


def _when(expression: str) -> accesslog.AccessLogFilter:
    return accesslog.AccessLogFilter(
        extension_filter=accesslog.ExtensionFilter(
            name="envoy.access_loggers.extension_filters.cel",
            typed_config=packed(cel_filter.ExpressionFilter(expression=expression)),
        )
    )


def access_log() -> accesslog.AccessLog:
    """JSON lines on standard output. The path is without its query: that may carry a credential."""
    decided = {key: f"%DYNAMIC_METADATA({DECISION_NAMESPACE}:{key})%" for key in LOGGED}
    return accesslog.AccessLog(
        name="envoy.access_loggers.stdout",
        typed_config=packed(
            stream_log.StdoutAccessLog(
                log_format=core.SubstitutionFormatString(
                    json_format=Struct.from_dict({**LOG_FIELDS, **decided}), omit_empty_values=True
                )
            )
        ),
    )

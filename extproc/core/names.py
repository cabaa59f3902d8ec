"""Every word that Envoy's configuration and the sidecar must spell alike.

Two compilers read the Plan: `bootstrap` tells Envoy what to send, `services` answers what it sent. A name that both
need lives here and nowhere else; one that only one of them needs does not.
"""

from __future__ import annotations

from typing import Final

# Headers. Everything under these two prefixes is ours: removed from clients at the edge, never matched by a route.
INTERNAL_PREFIX: Final = "x-extproc-"
CONSUMER_PREFIX: Final = "x-consumer-"
OWNED_PREFIXES: Final = (INTERNAL_PREFIX, CONSUMER_PREFIX)

# Headers by which a client could claim what only a proxy may say; each was seen to reach an upstream untouched.
UNTRUSTED: Final = (
    "x-original-url", "x-rewrite-url", "x-forwarded-host", "x-http-method-override", "x-http-method",
    "x-method-override",
)  # fmt: skip
# Of these Envoy itself removes only those that its own edge knows (http_conn_man/headers): x-envoy-attempt-count and
# x-envoy-auth-failure-mode-allowed, for two, are passed on as the client wrote them.
ENVOY_PREFIX: Final = "x-envoy-"

CLUSTER_HEADER: Final = "x-extproc-cluster"  # read by `cluster_header` routes, removed before the upstream
# The model whose shadow gets a copy: by it Envoy finds the route that makes one. The copy has it too, and no other
# request, so that its upstream knows that nobody waits for the answer.
SHADOW_HEADER: Final = "x-extproc-shadow"
CONSUMER_ID: Final = "x-consumer-id"
CONSUMER_TIER: Final = "x-consumer-tier"
CONSUMER_SCOPES: Final = "x-consumer-scopes"
CONSUMER_GROUPS: Final = "x-consumer-groups"
CONSUMER_TOKEN: Final = "x-consumer-token"  # noqa: S105 - the header's name
MODEL_VERSION: Final = "x-model-version"  # who answered
MODEL_FALLBACK: Final = "x-model-fallback"  # in whose place, where another version stood in
REQUEST_ID: Final = "x-request-id"

FEEDBACK_UPSTREAM: Final = "(feedback)"  # the sidecar's own, which no name of an upstream can be

# Keys of ext_authz `context_extensions` and of the rate limit descriptors' entries.
ROUTE: Final = "extproc.route"
REVISION: Final = "extproc.revision"
TOLD_ADDRESS: Final = "extproc.address"  # there where only CALL_ADDRESS knows the client's: behind trusted proxies
LIMIT: Final = "extproc.limit"
ADDRESS: Final = "masked_remote_address"  # fixed by Envoy's masked_remote_address action
DOMAIN: Final = "extproc"

# How a shared limit is told to Envoy's rate_limit_quota filter, which a route cannot tell anything (Envoy 1.40): by a
# header of the request, under a prefix that no client gets through the edge. It is removed before the upstream.
QUOTA_HEADER: Final = "x-envoy-extproc-quota"
QUOTA_CONSUMER: Final = "extproc.consumer"  # with LIMIT and REVISION, the parts of a bucket's id
NO_QUOTA: Final = "none"  # LIMIT in the id of the bucket that admits nobody

# Where Envoy files the dynamic metadata of our ext_authz answers (external_auth.proto: CheckResponse.dynamic_metadata).
DECISION_NAMESPACE: Final = "envoy.filters.http.ext_authz"
DECIDED_ROUTE: Final = "route"
DECIDED_REVISION: Final = "revision"
DECIDED_CONSUMER: Final = "consumer"
DECIDED_TIER: Final = "tier"
DECIDED_SCOPES: Final = "scopes"
DECIDED_ANONYMOUS: Final = "anonymous"  # in place of the consumer, who has no name then
DECIDED_GROUPS: Final = "groups"
DECIDED_REASON: Final = "reason"
DECIDED_VERSION: Final = "version"
DECIDED_MODEL: Final = "model"
USAGE_LOG: Final = "extproc.usage"  # the access log stream that tells of every request, for its sums
EVIDENCE_LOG: Final = "extproc.evidence"  # where no usage is kept: of the requests to models alone
MODEL_METADATA: Final = "extproc.model"  # of an endpoint: which version it is, by DECIDED_VERSION
DECIDED_HELD: Final = "held"  # what is to be settled at the request's end: core.held
# Those that Envoy's access log shows; the route it knows by itself.
LOGGED: Final = (DECIDED_REVISION, DECIDED_CONSUMER, DECIDED_TIER, DECIDED_REASON, DECIDED_VERSION)

# Facts of a decision about a route that serves a version of the API.
API_VERSION: Final = "api_version"
API_STATUS: Final = "api_status"

# How Envoy names the attributes of an ext_proc stream.
EXT_PROC_ATTRIBUTES: Final = "envoy.filters.http.ext_proc"
ROUTE_ATTRIBUTE: Final = "xds.route_name"
ANSWER_ATTRIBUTE: Final = "response.code_details"  # who made the answer
ID_ATTRIBUTE: Final = "request.id"
METHOD_ATTRIBUTE: Final = "request.method"
PATH_ATTRIBUTE: Final = "request.path"
HOST_ATTRIBUTE: Final = "request.host"
SCHEME_ATTRIBUTE: Final = "request.scheme"
ADDRESS_ATTRIBUTE: Final = "source.address"
SIZE_ATTRIBUTE: Final = "request.size"  # of the body, in bytes
FROM_UPSTREAM: Final = "via_upstream"

# gRPC metadata that the generated filters add to their calls: what the calls' own messages do not say, or say wrongly.
CALL_REQUEST_ID: Final = "x-extproc-request-id"  # a rate limit call names no request
CALL_ADDRESS: Final = "x-extproc-address"  # ext_authz's source.address is the last proxy, however many are trusted
CALL_REVISION: Final = "x-extproc-revision"  # an ext_proc stream without an ext_authz answer has none

# How a call of the sidecar's own is routed by the egress listener: the upstream, and which part of which route asks it.
# Both are removed before the upstream.
EGRESS_UPSTREAM: Final = "x-extproc-upstream"
EGRESS_PART: Final = "x-extproc-part"

# `details` of a local reply made by ext_proc; Envoy's own local-reply mapping leaves bodies with this prefix alone.
REPLY_DETAILS: Final = "extproc_"


def upstream_cluster(upstream: str) -> str:
    return f"upstream.{upstream}"


def feedback_socket(folder: str) -> str:
    """Where the sidecar takes feedback that comes through Envoy: whoever may enter the folder may say whose it is."""
    return f"{folder}/feedback.sock"


def version_cluster(model: str, version: str) -> str:
    """Of a version that others stand in for. A slash is in no name, so no two are spelled alike."""
    return f"version.{model}/{version}"


def model_cluster(model: str, version: str) -> str:
    """That version, and those that stand in for it."""
    return f"model.{model}/{version}"


def shadow_cluster(model: str) -> str:
    """Of the version that gets copies, apart from the one that answers: neither may use up what the other has."""
    return f"shadow.{model}"


def is_owned(header: str) -> bool:
    """Whether a (lower-case) header name is one that only the gateway may set."""
    return header.startswith(OWNED_PREFIXES)


def is_removed_at_edge(header: str) -> bool:
    """Whether the generated listeners remove a (lower-case) header from clients before anything looks at it."""
    return header in UNTRUSTED or header.startswith((ENVOY_PREFIX, *OWNED_PREFIXES))


def sidecar_sockets(folder: str, workers: int) -> tuple[str, ...]:
    """The socket paths of every worker's slots: two each, so that a successor can start before its predecessor ends."""
    return tuple(f"{folder}/worker-{worker}.{slot}.sock" for worker in range(workers) for slot in ("a", "b"))


def egress_socket(folder: str) -> str:
    """Where Envoy listens for the sidecar: in a folder of its own, since Envoy makes the socket."""
    return f"{folder}/egress/envoy.sock"


def egress_host(upstream: str) -> str:
    """An upstream's name as Envoy compares it, which is in lower case: two names that differ in case stay two."""
    return "".join(f"^{letter.lower()}" if letter.isupper() else letter for letter in upstream)


def egress_part(route: str, part: str) -> str:
    return f"{route}/{part}"

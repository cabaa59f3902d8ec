"""Whom Envoy asks, and by which wire: clusters, gRPC calls and TLS (EX7xx)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extproc.audit.edge_rules import DOCS, EDGE
from extproc.audit.envoy import Envoy, endpoints, is_local, is_loopback
from extproc.audit.node import Node
from extproc.audit.places import Find, Weak, any_of, if_one_of, if_true, of, unless_written
from extproc.audit.rule import Rule
from extproc.audit.severity import Severity

CLUSTER: Final = DOCS + "api-v3/config/cluster/v3/cluster.proto"
HEALTH: Final = DOCS + "api-v3/config/core/v3/health_check.proto"
TLS: Final = DOCS + "api-v3/extensions/transport_sockets/tls/v3/common.proto"
SOCKETS: Final = "envoy.extensions.transport_sockets.tls.v3."
UPSTREAM_TLS: Final = SOCKETS + "UpstreamTlsContext"
DOWNSTREAM_TLS: Final = SOCKETS + "DownstreamTlsContext"
COMMON: Final = "common_tls_context"
FROM_ELSEWHERE: Final = (
    "validation_context_sds_secret_config", "validation_context_certificate_provider",
    "validation_context_certificate_provider_instance", "custom_validator_config",
)  # fmt: skip
NO_TRAFFIC: Final = 5.0  # seconds; the default is 60


def _in_called(weak: Weak) -> Find:
    """In every cluster that a filter asks what to do."""
    return lambda envoy: (found for cluster in envoy.called() for found in weak(cluster))


def _late(cluster: Node) -> Iterator[Node]:
    for check in cluster.get("health_checks").each():
        interval = check.get("no_traffic_interval")
        if interval.seconds is None or interval.seconds > NO_TRAFFIC:
            yield interval


def _panics(cluster: Node) -> Iterator[Node]:
    """An empty Percent is zero: proto3's JSON leaves the number out."""
    threshold = cluster.get("common_lb_config", "healthy_panic_threshold")
    if not threshold.written or threshold.get("value").number:
        yield threshold


def _in_the_open(cluster: Node) -> Iterator[Node]:
    if not cluster.get("transport_socket").written and not cluster.get("transport_socket_matches").data:
        yield from (address for address in endpoints(cluster) if not is_local(address))


def _idle_retries(envoy: Envoy) -> Iterator[Node]:
    for service in envoy.services():
        if service.get("envoy_grpc", "retry_policy").written:
            yield service.get("envoy_grpc", "retry_policy")


def _bare_google(envoy: Envoy) -> Iterator[Node]:
    for service in envoy.services():
        google = service.get("google_grpc")
        host = google.get("target_uri").text.removeprefix("dns:///").rpartition(":")[0]
        near = google.get("target_uri").text.startswith("unix:") or is_loopback(host)
        if google.written and not near and not google.get("channel_credentials").written:
            yield google


def _contexts(tls: Node) -> Iterator[Node]:
    """What is said here of the certificates that the other side may have."""
    yield tls.get(COMMON, "validation_context")
    yield tls.get(COMMON, "combined_validation_context", "default_validation_context")


def _from_elsewhere(tls: Node) -> bool:
    places = (tls.get(COMMON), tls.get(COMMON, "combined_validation_context"), *_contexts(tls))
    return any(place.get(name).written for place in places for name in FROM_ELSEWHERE)


def _trusts_any(tls: Node) -> Iterator[Node]:
    sources = ("trusted_ca", "ca_certificate_provider_instance", "system_root_certs", "verify_certificate_hash",
               "verify_certificate_spki")  # fmt: skip
    if not _from_elsewhere(tls) and not any(place.get(name).written for place in _contexts(tls) for name in sources):
        yield tls.get(COMMON, "validation_context")


def _any_name(tls: Node) -> Iterator[Node]:
    """Where somebody is believed by a CA alone. What another source says of names is not seen here."""
    if _from_elsewhere(tls) or tls.get("auto_sni_san_validation").true or list(_trusts_any(tls)):
        return
    names = ("match_typed_subject_alt_names", "match_subject_alt_names", "verify_certificate_hash",
             "verify_certificate_spki")  # fmt: skip
    if not any(place.get(name).data for place in _contexts(tls) for name in names):
        yield tls.get(COMMON, "validation_context", "match_typed_subject_alt_names")


def _untrusted(tls: Node) -> Iterator[Node]:
    weak = any_of(if_one_of("trust_chain_verification", values=("ACCEPT_UNTRUSTED", "1")),
                  if_true("allow_expired_certificate"))  # fmt: skip
    return (found for context in _contexts(tls) for found in weak(context))


def _asks_without_demanding(tls: Node) -> Iterator[Node]:
    asked = _from_elsewhere(tls) or any(context.written for context in _contexts(tls))
    if asked and not tls.get("require_client_certificate").true:
        yield tls.get("require_client_certificate")


def _in_upstreams(envoy: Envoy) -> Iterator[Node]:
    asked = {cluster.path for cluster in envoy.called()}
    for cluster in envoy.clusters:
        if cluster.path not in asked:
            yield from unless_written("per_connection_buffer_limit_bytes")(cluster)


OLD: Final = ("TLSv1_0", "TLSv1_1", "1", "2")

RULES: Final[tuple[Rule[Envoy], ...]] = (
    Rule(
        "EX701", Severity.MEDIUM,
        "An endpoint of the service that decides is called on after its death, and what it was asked is refused or, "
        "where the filter fails open, let through.",
        "Add health_checks with grpc_health_check and an interval of a second or less.",
        HEALTH, _in_called(unless_written("health_checks")),
    ),
    Rule(
        "EX702", Severity.LOW,
        "A service that starts after Envoy is found only after a minute: no_traffic_interval is 60s by default.",
        "Set no_traffic_interval, to a second or less.",
        HEALTH, _in_called(_late),
    ),
    Rule(
        "EX703", Severity.MEDIUM,
        "With half of its endpoints gone, Envoy asks dead ones too: healthy_panic_threshold is 50 percent by default.",
        "Set common_lb_config.healthy_panic_threshold: {value: 0}.",
        CLUSTER, _in_called(_panics),
    ),
    Rule(
        "EX704", Severity.MEDIUM,
        "Whoever is on the wire between Envoy and the service that decides reads every request, and may say yes.",
        "Use a Unix socket (pipe), or mutual TLS with the service's name.",
        TLS, _in_called(_in_the_open),
    ),
    Rule(
        "EX705", Severity.LOW,
        "A retry policy in envoy_grpc is read and does nothing.",
        "Write it as grpc_service.retry_policy, with retry_on and previous_hosts.",
        DOCS + "api-v3/config/core/v3/grpc_service.proto", _idle_retries,
    ),
    Rule(
        "EX706", Severity.MEDIUM,
        "google_grpc without channel_credentials asks the service that decides in plain text.",
        "Set channel_credentials, or use envoy_grpc with a cluster that has TLS.",
        DOCS + "api-v3/config/core/v3/grpc_service.proto", _bare_google,
    ),
    Rule(
        "EX707", Severity.LOW,
        "A connection to an upstream may buffer 1 MiB.",
        "Set per_connection_buffer_limit_bytes: 32768.",
        EDGE, _in_upstreams,
    ),
    Rule(
        "EX711", Severity.HIGH,
        "TLS to the upstream without a validation context believes any certificate.",
        "Set common_tls_context.validation_context with trusted_ca, and match_typed_subject_alt_names.",
        TLS, of(UPSTREAM_TLS, _trusts_any),
    ),
    Rule(
        "EX712", Severity.MEDIUM,
        "Any certificate of that CA will do, whosever it is.",
        "Set match_typed_subject_alt_names, or auto_sni_san_validation with sni.",
        TLS, of(UPSTREAM_TLS, _any_name),
    ),
    Rule(
        "EX713", Severity.HIGH,
        "A certificate that nobody vouches for, or that has expired, is believed.",
        "Leave trust_chain_verification and allow_expired_certificate out.",
        TLS, lambda envoy: (*of(UPSTREAM_TLS, _untrusted)(envoy), *of(DOWNSTREAM_TLS, _untrusted)(envoy)),
    ),
    Rule(
        "EX714", Severity.LOW,
        "A client without a certificate is served like one that has one.",
        "Set require_client_certificate: true, unless something behind it asks who the client is.",
        TLS, of(DOWNSTREAM_TLS, _asks_without_demanding),
    ),
    Rule(
        "EX715", Severity.MEDIUM,
        "TLS 1.0 and 1.1 are broken.",
        "Leave tls_minimum_protocol_version at its default (TLSv1_2), or above.",
        "https://www.rfc-editor.org/rfc/rfc8996",
        lambda envoy: (
            found for kind in (UPSTREAM_TLS, DOWNSTREAM_TLS)
            for found in of(kind, if_one_of(COMMON, "tls_params", "tls_minimum_protocol_version", values=OLD))(envoy)
        ),
    ),
)  # fmt: skip

"""TLS as Envoy speaks it: to clients, and to upstreams."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls
from envoy_data_plane.envoy.type.matcher import v3 as matcher

from extproc.bootstrap.names import packed
from extproc.bootstrap.secrets import authorities_of, by_name, certificate_of
from extproc.plan.model import ListenerPlan, UpstreamPlan
from extproc.plan.tls import ListenerTlsPlan, San, SanType, UpstreamTlsPlan

SOCKET: Final = "envoy.transport_sockets.tls"
SAN_TYPES: Final = {
    SanType.DNS: tls.SubjectAltNameMatcherSanType.DNS,
    SanType.IP: tls.SubjectAltNameMatcherSanType.IP_ADDRESS,
    SanType.URI: tls.SubjectAltNameMatcherSanType.URI,
}


def downstream(item: ListenerPlan, settings: ListenerTlsPlan, folder: PurePath) -> core.TransportSocket:
    """A certificate is verified where one is presented, required or not (DownstreamTlsContext)."""
    common = _common(["h2", "http/1.1"])
    common.tls_certificate_sds_secret_configs = [
        by_name(certificate_of(item, number), folder) for number in range(len(settings.certificates))
    ]
    asks = settings.client_ca is not None
    if asks:
        common.validation_context_sds_secret_config = by_name(authorities_of(item), folder)
    return _socket(
        tls.DownstreamTlsContext(
            common_tls_context=common,
            require_client_certificate=settings.require_client_certificate,
            # A session that is taken up again is not verified again, and the certificate may have been revoked.
            disable_stateless_session_resumption=asks,
            disable_stateful_session_resumption=asks,
        )
    )


def upstream(item: UpstreamPlan, settings: UpstreamTlsPlan, folder: PurePath) -> core.TransportSocket:
    """An authority alone proves nothing: without the names, whoever has one of its certificates would do."""
    common = _common(["http/1.1"])
    common.combined_validation_context = tls.CommonTlsContextCombinedCertificateValidationContext(
        default_validation_context=tls.CertificateValidationContext(
            match_typed_subject_alt_names=[_matcher(san) for san in settings.sans]
        ),
        validation_context_sds_secret_config=by_name(authorities_of(item), folder),
    )
    if settings.certificate is not None:
        common.tls_certificate_sds_secret_configs = [by_name(certificate_of(item), folder)]
    return _socket(tls.UpstreamTlsContext(common_tls_context=common, sni=settings.sni))


def _common(protocols: list[str]) -> tls.CommonTlsContext:
    return tls.CommonTlsContext(
        tls_params=tls.TlsParameters(
            tls_minimum_protocol_version=tls.TlsParametersTlsProtocol.TLSv1_2,
            tls_maximum_protocol_version=tls.TlsParametersTlsProtocol.TLSv1_3,
        ),
        alpn_protocols=protocols,
    )


def _matcher(san: San) -> tls.SubjectAltNameMatcher:
    return tls.SubjectAltNameMatcher(san_type=SAN_TYPES[san.type], matcher=matcher.StringMatcher(exact=san.value))


def _socket(context: tls.DownstreamTlsContext | tls.UpstreamTlsContext) -> core.TransportSocket:
    return core.TransportSocket(name=SOCKET, typed_config=packed(context))

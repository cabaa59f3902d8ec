"""Where requests go: what the operator wrote, and what the sidecar serves itself."""

from __future__ import annotations

import ipaddress

from extproc.config.model import Config, Upstream
from extproc.config.settings import HostPort
from extproc.core.handover import UpstreamCredential
from extproc.core.names import FEEDBACK_UPSTREAM
from extproc.plan.model import Discovery, Endpoint, UpstreamPlan
from extproc.plan.tls import upstream_tls


def upstream_plan(name: str, item: Upstream) -> UpstreamPlan:
    return UpstreamPlan(
        name=name,
        endpoints=tuple(endpoint_of(endpoint) for endpoint in item.endpoints),
        discovery=Discovery(item.dns) if item.dns else _discovery(item.endpoints),
        balance=item.balance,
        connect_timeout=item.connect_timeout.total_seconds(),
        timeout=item.timeout.total_seconds() if item.timeout else None,
        retries=item.retries,
        health_check=item.health_check,
        outlier_detection=item.outlier_detection,
        credential=_credential(item),
        tls=upstream_tls(item.tls) if item.tls else None,
    )


def _credential(item: Upstream) -> UpstreamCredential | None:
    shown = item.credential
    return UpstreamCredential(shown.header, shown.value.get_secret_value()) if shown else None


def own_upstreams(config: Config) -> dict[str, UpstreamPlan]:
    """What the sidecar serves itself. Where that is, the bootstrap says: its folder may be another one than written."""
    if not any(route.feedback for route in config.routes):
        return {}
    return {FEEDBACK_UPSTREAM: UpstreamPlan(FEEDBACK_UPSTREAM, (), Discovery.STATIC, "round_robin", 0.25)}


def _discovery(endpoints: list[HostPort]) -> Discovery:
    """Addresses need no resolver; one host name among them needs one for all."""
    try:
        for endpoint in endpoints:
            ipaddress.ip_address(endpoint.host)
    except ValueError:
        return Discovery.STRICT_DNS
    return Discovery.STATIC


def endpoint_of(address: HostPort) -> Endpoint:
    return Endpoint(address.host, address.port)

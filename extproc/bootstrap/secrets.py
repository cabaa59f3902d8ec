"""Certificates as Envoy reads them again: each in a file of its own that names the files to watch.

A certificate that the bootstrap names is read once, whatever `watched_directory` says. One that comes by SDS is read
again when something is renamed in the folder of its file (tls/v3/common.proto: TlsCertificate.watched_directory): the
file itself, or the link that a Kubernetes volume replaces as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, Final

from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.extensions.transport_sockets.tls import v3 as tls

from extproc.bootstrap.names import plain, seconds
from extproc.plan.model import ListenerPlan, Plan, UpstreamPlan
from extproc.plan.tls import CertificatePlan

TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
# Envoy's own default, written out. Whoever has not got its secret by then begins without it, and closes every
# connection of its own (sds.rst), but holds up nobody else.
LONGEST_WAIT: Final = 15.0


def certificate_of(owner: ListenerPlan | UpstreamPlan, number: int = 0) -> str:
    return f"{_owner(owner)}.certificate.{number}"


def authorities_of(owner: ListenerPlan | UpstreamPlan) -> str:
    return f"{_owner(owner)}.authorities"


def by_name(name: str, folder: PurePath) -> tls.SdsSecretConfig:
    """Where Envoy finds the secret of this name. It looks again when the file is replaced."""
    watched = core.WatchedDirectory(path=str(folder))
    source = core.PathConfigSource(path=str(folder / file_name(name)), watched_directory=watched)
    return tls.SdsSecretConfig(
        name=name,
        sds_config=core.ConfigSource(
            path_config_source=source,
            resource_api_version=core.ApiVersion.V3,
            initial_fetch_timeout=seconds(LONGEST_WAIT),
        ),
    )


def file_name(name: str) -> str:
    return f"{name}.yaml"


def secrets_of(plan: Plan) -> dict[str, dict[str, Any]]:
    """Every secret that the plan's bootstrap refers to, by its name, as a file of Envoy's (xds_api.rst: a
    DiscoveryResponse). They hold names of files, and nothing of what is in them."""
    return {secret.name: _written(secret) for secret in (*_of_listeners(plan), *_of_upstreams(plan))}


def _of_listeners(plan: Plan) -> Iterator[tls.Secret]:
    for item in plan.listeners:
        if item.tls is None:
            continue
        for number, pair in enumerate(item.tls.certificates):
            yield _certificate(certificate_of(item, number), pair)
        if item.tls.client_ca is not None:
            yield _authorities(authorities_of(item), item.tls.client_ca, item.tls.crl)


def _of_upstreams(plan: Plan) -> Iterator[tls.Secret]:
    for item in plan.upstreams.values():
        if item.tls is None:
            continue
        yield _authorities(authorities_of(item), item.tls.ca)
        if item.tls.certificate is not None:
            yield _certificate(certificate_of(item), item.tls.certificate)


def _certificate(name: str, pair: CertificatePlan) -> tls.Secret:
    return tls.Secret(
        name=name,
        tls_certificate=tls.TlsCertificate(
            certificate_chain=core.DataSource(filename=pair.certificate),
            private_key=core.DataSource(filename=pair.key),
        ),
    )


def _authorities(name: str, authorities: str, revoked: str | None = None) -> tls.Secret:
    return tls.Secret(
        name=name,
        validation_context=tls.CertificateValidationContext(
            trusted_ca=core.DataSource(filename=authorities),
            crl=core.DataSource(filename=revoked) if revoked else None,
        ),
    )


def _written(secret: tls.Secret) -> dict[str, Any]:
    return {"resources": [{"@type": TYPE, **plain(secret)}]}


def _owner(owner: ListenerPlan | UpstreamPlan) -> str:
    return f"{'listener' if isinstance(owner, ListenerPlan) else 'upstream'}.{owner.name}"

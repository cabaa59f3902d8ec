"""What TLS settings mean: which files, and who the other side must prove to be."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from extproc.config.tls import ListenerTls, UpstreamTls, system_authorities


@dataclass(frozen=True, slots=True)
class CertificatePlan:
    """Two files, by their absolute names."""

    certificate: str
    key: str


@dataclass(frozen=True, slots=True)
class ListenerTlsPlan:
    """The first of `certificates` is for clients that ask for no host that another one names."""

    certificates: tuple[CertificatePlan, ...]
    client_ca: str | None = None
    crl: str | None = None
    require_client_certificate: bool = False


class SanType(Enum):
    """The types of names that a certificate tells apart; the same text as another type is another name."""

    DNS = "dns"
    IP = "ip"
    URI = "uri"


@dataclass(frozen=True, slots=True)
class San:
    type: SanType
    value: str


@dataclass(frozen=True, slots=True)
class UpstreamTlsPlan:
    """`sni` is empty where none is sent: the names are addresses and URIs alone."""

    sans: tuple[San, ...]
    sni: str
    ca: str
    certificate: CertificatePlan | None = None


def listener_tls(settings: ListenerTls) -> ListenerTlsPlan:
    own = _pair(settings.certificate, settings.key)
    several = [CertificatePlan(str(one.certificate), str(one.key)) for one in settings.certificates or ()]
    return ListenerTlsPlan(
        certificates=(own,) if own else tuple(several),
        client_ca=_name(settings.client_ca),
        crl=_name(settings.crl),
        require_client_certificate=settings.require_client_certificate,
    )


def upstream_tls(settings: UpstreamTls) -> UpstreamTlsPlan:
    sans = tuple(_san(name) for name in settings.san)
    hosts = [san.value for san in sans if san.type is SanType.DNS]
    authorities = settings.ca or system_authorities()
    if authorities is None:
        raise ValueError("no authorities to trust")
    return UpstreamTlsPlan(
        sans=sans,
        sni=settings.sni or next(iter(hosts), ""),
        ca=str(authorities),
        certificate=_pair(settings.certificate, settings.key),
    )


def _san(name: str) -> San:
    if "://" in name:
        return San(SanType.URI, name)
    try:
        return San(SanType.IP, str(ipaddress.ip_address(name)))
    except ValueError:
        return San(SanType.DNS, name.lower())


def _pair(certificate: Path | None, key: Path | None) -> CertificatePlan | None:
    return CertificatePlan(str(certificate), str(key)) if certificate and key else None


def _name(file: Path | None) -> str | None:
    return str(file) if file else None

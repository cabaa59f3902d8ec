"""`client_certificate:`: who is asking is whom the client's own certificate was issued to.

Envoy has verified the certificate when the connection opened, and shows it whole. Of `source.principal` and of the
header x-forwarded-client-cert nothing is read: their text does not tell which type of name it is, and the same text as
another type may be somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from extproc import (
    Authenticator,
    Certificate,
    Clock,
    Consumer,
    LocalReply,
    Name,
    Ports,
    Request,
    Settings,
    read_certificate,
    refusal,
)

NAMES: Final[Mapping[str, Callable[[Certificate], tuple[str, ...]]]] = {
    "san_uri": lambda certificate: certificate.uris,
    "san_dns": lambda certificate: certificate.dns_names,
    "san_email": lambda certificate: certificate.emails,
    "subject_cn": lambda certificate: certificate.common_names,
    "fingerprint": lambda certificate: (certificate.fingerprint,),
}
FINGERPRINT: Final = 64  # hexadecimal digits of a SHA-256
Text = Annotated[str, Field(min_length=1)]


class ClientCertificateSettings(Settings):
    """The certificate that a client shows when it connects. Some listener's `tls` must name a `client_ca`."""

    consumer: Literal["san_uri", "san_dns", "san_email", "subject_cn", "fingerprint"]
    """Which of its names says who is asking: a subject alternative name of that type, the subject's common name, or the
    SHA-256 of the whole certificate. A certificate that has none of them, or several, is refused."""
    allowed: Annotated[list[Text], Field(min_length=1)] | None = None
    """The names that may call. Left out: every name in a certificate of the `client_ca`."""
    prefix: Text | None = None
    """How a name must begin, as `spiffe://example.com/`. Left out: anyhow."""
    tier: Name | None = None
    """The tier of all who come this way."""
    scopes: list[Annotated[str, Field(pattern=r"^\S+$")]] = []
    """What all of them may do."""
    groups: list[Text] = []
    """The groups that all of them belong to."""

    @model_validator(mode="after")
    def _fingerprints_are_spelled_alike(self) -> Self:
        for name in (self.allowed or ()) if self.consumer == "fingerprint" else ():
            if len(name) != FINGERPRINT or set(name) - set("0123456789abcdef"):
                raise ValueError("a fingerprint is 64 hexadecimal digits in lower case, without colons")
        return self


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    name: str
    settings: ClientCertificateSettings
    allowed: frozenset[str] | None
    clock: Clock

    @property
    def challenge(self) -> str:
        return ""  # a certificate is asked for before there is a request, and not by a header

    @property
    def credential_headers(self) -> tuple[str, ...]:
        return ()

    def presents(self, request: Request) -> bool:
        return bool(request.certificate)

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        try:
            certificate = read_certificate(request.certificate)
        except ValueError:
            return _refused("unreadable_certificate", "the certificate cannot be read")
        if not certificate.not_before <= self.clock.now() <= certificate.not_after:
            return _refused("expired_certificate", "the certificate is not valid now")
        named = NAMES[self.settings.consumer](certificate)
        if len(named) != 1 or not named[0].isprintable():
            return _refused("no_consumer", f"the certificate must have exactly one {self.settings.consumer}")
        return self._consumer(named[0])

    def _consumer(self, name: str) -> Consumer | LocalReply:
        settings = self.settings
        if not name.startswith(settings.prefix or "") or not (self.allowed is None or name in self.allowed):
            return _refused("unknown_certificate", "the certificate's holder is not known")
        return Consumer(name, settings.tier, tuple(settings.scopes), groups=tuple(settings.groups))


def _refused(reason: str, sentence: str) -> LocalReply:
    return refusal(401, reason, sentence)


class ClientCertificateKind:
    name: ClassVar[str] = "client_certificate"
    Settings: ClassVar[type[ClientCertificateSettings]] = ClientCertificateSettings

    @staticmethod
    def build(name: str, settings: ClientCertificateSettings, ports: Ports) -> Authenticator:
        allowed = frozenset(settings.allowed) if settings.allowed is not None else None
        return ClientCertificate(name, settings, allowed, ports.clock)

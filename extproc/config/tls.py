"""TLS on both sides of Envoy: the files that it reads, and what must be true of them before it does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from extproc.certificates import check_authorities, check_chain, check_key, check_pair, check_revocations
from extproc.config.agreements import CERTAIN, SOMETHING, exactly_one, having, rules, where
from extproc.config.settings import File, Settings
from extproc.config.spelling import Spelled, text, written

MAX_FILE_BYTES: Final = 16 * 1024 * 1024  # a public authority's longest revocation lists have ten million bytes
# Where systems keep the authorities that they trust: Debian, Fedora, SUSE, Alpine and macOS.
BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
ONE_WAY: Final = "write certificate and key, or certificates for several of them"
TOGETHER: Final = "certificate and key go together"
FOR_CLIENTS: Final = "without client_ca no client is asked for a certificate"
NO_BUNDLE: Final = "this system has no bundle of authorities in a known place: write ca: FILE"
NO_SAN: Final = "not a name in a certificate: write a host name, an IP address, or a URI as spiffe://HOST/PATH"
NO_SNI: Final = "not a host name"
HOST_NAME: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?"
SAN: Final = rf"{HOST_NAME}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+|[A-Za-z][A-Za-z0-9+.-]*://[!-~]+"


def system_authorities() -> Path | None:
    """The bundle of authorities that this machine trusts, in the first place where there is one."""
    return next((Path(bundle) for bundle in BUNDLES if Path(bundle).is_file()), None)


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"larger than {MAX_FILE_BYTES} bytes: {file}")
        return file.read_bytes()
    except OSError as error:
        raise ValueError(f"{error.strerror}: {file}") from None


def _held_to(check: Callable[[bytes], None]) -> AfterValidator:
    def checked(file: Path) -> Path:
        content = _read(file)
        try:
            check(content)
        except ValueError as error:
            raise ValueError(f"{error}: {file}") from None
        return file

    return AfterValidator(checked)


ChainFile = Annotated[File, _held_to(check_chain), written("file")]
KeyFile = Annotated[File, _held_to(check_key), written("file")]
AuthoritiesFile = Annotated[File, _held_to(check_authorities), written("file")]
RevocationsFile = Annotated[File, _held_to(check_revocations), written("file")]


def _fit(certificate: Path | None, key: Path | None) -> None:
    if (certificate is None) != (key is None):
        raise ValueError(TOGETHER)
    if certificate is not None and key is not None:
        check_pair(_read(certificate), _read(key))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


SanName = Annotated[str, Spelled(SAN, NO_SAN, "name")]
SanNames = Annotated[
    list[SanName],
    BeforeValidator(_as_list),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                text("name", SAN, NO_SAN),
                {"type": "array", "items": text("name", SAN, NO_SAN), "minItems": 1},
            ]
        }
    ),
]
PAIR: Final = (
    where(having(certificate=CERTAIN), {**having(key=SOMETHING), "errorMessage": TOGETHER}),
    where(having(key=CERTAIN), {**having(certificate=SOMETHING), "errorMessage": TOGETHER}),
)


class CertificatePair(Settings):
    """A certificate and its key. Envoy reads them again whenever one of them is replaced."""

    certificate: ChainFile
    """The certificate in PEM, and behind it those that lead to an authority. A relative name is looked for beside
    gateway.yaml."""
    key: KeyFile
    """Its private key in PEM, without a password."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        _fit(self.certificate, self.key)
        return self


class ListenerTls(Settings):
    """TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1. Every file is read again within seconds of being replaced by a rename,
    as certificate managers and Kubernetes do; a write into the file itself goes unnoticed."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            exactly_one(("certificate", "certificates"), ONE_WAY),
            *PAIR,
            where(having(crl=CERTAIN), {**having(client_ca=SOMETHING), "errorMessage": FOR_CLIENTS}),
            where(
                having(require_client_certificate={"const": True}),
                {**having(client_ca=SOMETHING), "errorMessage": FOR_CLIENTS},
            ),
        )
    )

    certificate: ChainFile | None = None
    """The listener's certificate in PEM, and behind it those that lead to an authority. A relative name is looked for
    beside gateway.yaml."""
    key: KeyFile | None = None
    """Its private key in PEM, without a password."""
    certificates: Annotated[list[CertificatePair], Field(min_length=1)] | None = None
    """In place of `certificate` and `key`: several. A client that asks for a host gets the one that names it among its
    DNS names, any other the first."""
    client_ca: AuthoritiesFile | None = None
    """The authorities, in PEM, that issue the clients' certificates. With it a certificate is asked for, and one that
    is not good closes the connection. Connections last five minutes then, so that what was revoked is noticed."""
    crl: RevocationsFile | None = None
    """The authorities' lists of revoked certificates, in PEM: one of each authority. When a list is out of date, none
    of its authority's certificates is good."""
    require_client_certificate: bool = False
    """Whether a connection without a certificate is closed. Left out, routes decide, by authenticating with
    `client_certificate`."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None and self.key is None) == (self.certificates is None):
            raise ValueError(ONE_WAY)
        _fit(self.certificate, self.key)
        if self.client_ca is None and (self.crl is not None or self.require_client_certificate):
            raise ValueError(FOR_CLIENTS)
        return self


class UpstreamTls(Settings):
    """TLS to every endpoint, for requests and health checks alike. Whoever cannot prove to be one of `san` is sent
    nothing: the request is answered with 503."""

    model_config = ConfigDict(json_schema_extra=rules(*PAIR))

    san: SanNames
    """Who must answer: a host name, an IP address or a URI, or several, of which the certificate must have one among
    its subject alternative names."""
    ca: AuthoritiesFile | None = None
    """The authorities, in PEM, that issue the upstream's certificates. Left out: those that the system trusts where the
    file is loaded."""
    sni: Annotated[str, Spelled(HOST_NAME, NO_SNI, "host name")] | None = None
    """The host that is asked for in the handshake. Left out: the first host name of `san`."""
    certificate: ChainFile | None = None
    """The certificate in PEM that the gateway shows the upstream, where that asks for one."""
    key: KeyFile | None = None
    """Its private key in PEM, without a password."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        _fit(self.certificate, self.key)
        if self.ca is None and system_authorities() is None:
            raise ValueError(NO_BUNDLE)
        return self

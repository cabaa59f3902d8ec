"""Certificates for tests: an authority that issues what a test asks for, good or bad, and takes it back again."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY: Final = timedelta(days=1)
SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH


def dns(name: str) -> x509.GeneralName:
    return x509.DNSName(name)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def email(text: str) -> x509.GeneralName:
    return x509.RFC822Name(text)


def ip(text: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(text))


class Issued:
    """A certificate with its key."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self.certificate = certificate
        self.key = key

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """`NAME.crt` and `NAME.key`."""
        files = folder / f"{name}.crt", folder / f"{name}.key"
        replace(files[0], self.pem)
        replace(files[1], self.key_pem)
        return files


class Authority:
    """A certificate authority of its own, gone with the test."""

    def __init__(self, name: str = "test authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        start, end = _validity(days=3650)
        self.certificate = (
            x509.CertificateBuilder(self._name, self._name, self._key.public_key(), x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(
        self,
        *names: x509.GeneralName,
        common_names: Sequence[str] = (),
        usage: x509.ObjectIdentifier = SERVER,
        days: int = 30,
    ) -> Issued:
        """Valid from two days ago until `days` from now, which may be in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        start, end = _validity(days)
        builder = (
            x509.CertificateBuilder(
                self._name, _named(*common_names), key.public_key(), x509.random_serial_number()
            )
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )  # fmt: skip
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Issued(builder.sign(self._key, hashes.SHA256()), key)

    def revocations(self, *revoked: Issued) -> bytes:
        """The list of what has been taken back (RFC 5280 §5), in PEM."""
        now, end = _validity(days=30)
        builder = x509.CertificateRevocationListBuilder(self._name, now, end)
        for one in revoked:
            serial = one.certificate.serial_number
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder(serial, now).build()
            )  # fmt: skip
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)


def write_folder(folder: Path) -> None:
    """What a gateway's TLS settings may name: two servers, a client, their authority, and what it has taken back."""
    authority = Authority()
    folder.mkdir(exist_ok=True)
    replace(folder / "ca.crt", authority.pem)
    replace(folder / "ca.crl", authority.revocations())
    authority.issue(dns("shop.example.com")).write(folder, "server")
    authority.issue(dns("other.example.com")).write(folder, "other")
    authority.issue(uri("spiffe://example.com/gateway"), usage=CLIENT).write(folder, "client")


def replace(file: Path, content: bytes) -> None:
    """In one step, as whoever renews certificates should: a rename, never a half-written file."""
    written = file.with_name(f".{file.name}.new")
    written.write_bytes(content)
    written.replace(file)


def _validity(days: int) -> tuple[datetime, datetime]:
    now = datetime.fromtimestamp(time.clock_gettime(time.CLOCK_REALTIME), UTC)
    return now - 2 * DAY, now + days * DAY


def _named(*common_names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in common_names])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs_certificates, crl_sign=signs_certificates, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip

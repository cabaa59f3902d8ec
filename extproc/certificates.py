"""X.509 in plain Python: what a certificate says of its holder, and whether files are what Envoy can use.

Nothing here decides whether a certificate is to be trusted: Envoy does that, when a connection opens (RFC 5280 §6).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

REMEMBERED: Final = 1024  # certificates: a client sends its own with every request, and reading one takes 50 µs
SMALLEST_RSA: Final = 2048  # Envoy refuses a smaller one, and curves but these (context_impl.cc)
CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")


@dataclass(frozen=True, slots=True)
class Certificate:
    """Whom a certificate was issued to, by the types of its names (RFC 5280 §4.2.1.6), and when it holds, in seconds
    since the epoch. `fingerprint` is the SHA-256 of the whole of it, in hexadecimal digits."""

    uris: tuple[str, ...]
    dns_names: tuple[str, ...]
    emails: tuple[str, ...]
    common_names: tuple[str, ...]
    fingerprint: str
    not_before: float
    not_after: float


@functools.lru_cache(REMEMBERED)
def read_certificate(pem: str) -> Certificate:
    """The first certificate of a PEM text. The last ones that were read are remembered.

    Raises:
        ValueError: it holds none, or one that says things in two ways.
    """
    try:
        parsed = x509.load_pem_x509_certificate(pem.encode())
        named = _alternatives(parsed)
        return Certificate(
            uris=tuple(named.get_values_for_type(x509.UniformResourceIdentifier)),
            dns_names=tuple(named.get_values_for_type(x509.DNSName)),
            emails=tuple(named.get_values_for_type(x509.RFC822Name)),
            common_names=_common_names(parsed),
            fingerprint=parsed.fingerprint(SHA256()).hex(),
            not_before=parsed.not_valid_before_utc.timestamp(),
            not_after=parsed.not_valid_after_utc.timestamp(),
        )
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        raise ValueError("it is no certificate in PEM that can be read") from None


def check_chain(pem: bytes) -> None:
    """Raises ValueError where Envoy could not present this: no certificate, or a key that it does not use."""
    key = _certificates(pem)[0].public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= SMALLEST_RSA:
        return
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in CURVES:
        return
    raise ValueError("Envoy uses keys of RSA with 2048 bits or more, and of the curves P-256, P-384 and P-521")


def check_key(pem: bytes) -> None:
    """Raises ValueError unless it is a private key without a password."""
    _public_half(pem)


def check_pair(chain: bytes, key: bytes) -> None:
    """Raises ValueError where the key is not that of the first certificate."""
    first = _certificates(chain)[0].public_key()
    if first.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != _public_half(key):
        raise ValueError("the key is not the certificate's")


def check_authorities(pem: bytes) -> None:
    """Raises ValueError unless it holds certificates."""
    _certificates(pem)


def check_revocations(pem: bytes) -> None:
    """Raises ValueError unless it holds a list of revoked certificates."""
    try:
        x509.load_pem_x509_crl(pem)
    except ValueError:
        raise ValueError("it holds no list of revoked certificates in PEM") from None


def _alternatives(parsed: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])


def _common_names(parsed: x509.Certificate) -> tuple[str, ...]:
    found = (one.value for one in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    return tuple(value if isinstance(value, str) else value.decode("latin-1") for value in found)


def _certificates(pem: bytes) -> Sequence[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ValueError("it holds no certificate in PEM") from None


def _public_half(pem: bytes) -> bytes:
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise ValueError("the key is locked with a password, which Envoy is not told") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("it holds no private key in PEM") from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

"""TLS settings: every file is what Envoy can use, before Envoy is asked to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from extproc.certificates import check_chain
from extproc.config import tls
from extproc.config.load import Loaded
from extproc.plan.compile import compile_plan
from extproc.plan.tls import CertificatePlan, San, SanType
from tests.certificates import Authority, dns, write_folder
from tests.config.gateways import ROUTES, load_text, messages_of

PAIR: Final = "certificate: tls/server.crt, key: tls/server.key"


@pytest.fixture(autouse=True)
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "tls")


def listening(settings: str) -> str:
    upstreams = 'upstreams: {users: {endpoints: ["127.0.0.1:9101"]}}\n'
    return f'listeners: [{{name: public, address: "0.0.0.0:8443", tls: {{{settings}}}}}]\n{upstreams}{ROUTES}'


def calling(settings: str) -> str:
    upstreams = f'upstreams: {{users: {{endpoints: ["127.0.0.1:9101"], tls: {{{settings}}}}}}}\n'
    return f'listeners: [{{name: public, address: "0.0.0.0:8080"}}]\n{upstreams}{ROUTES}'


def told(text: str) -> str:
    """The one problem of a file, without the folder that it happens to be in."""
    (message,) = messages_of(text)
    return message.replace(f"{Path.cwd()}/", "")


def written(name: str, content: bytes) -> None:
    Path("tls", name).write_bytes(content)


def test_one_certificate_is_one_of_several() -> None:
    one = load_text(listening(PAIR)).config.listeners[0].tls
    several = load_text(listening(f"certificates: [{{{PAIR}}}]")).config.listeners[0].tls
    assert one is not None
    assert several is not None
    pair = CertificatePlan(str(Path("tls/server.crt").absolute()), str(Path("tls/server.key").absolute()))
    assert plan_of_listener(load_text(listening(PAIR))) == plan_of_listener(
        load_text(listening(f"certificates: [{{{PAIR}}}]"))
    )
    assert plan_of_listener(load_text(listening(PAIR))) == (pair,)


def plan_of_listener(loaded: Loaded) -> tuple[CertificatePlan, ...]:
    settings = compile_plan(loaded, {}).listeners[0].tls
    assert settings is not None
    return settings.certificates


WHOLE: Final = "listeners[0].tls"
MISTAKES: Final = [
    ("", WHOLE, tls.ONE_WAY),
    ("client_ca: tls/ca.crt", WHOLE, tls.ONE_WAY),
    (f"{PAIR}, certificates: [{{{PAIR}}}]", WHOLE, tls.ONE_WAY),
    ("certificate: tls/server.crt", WHOLE, tls.TOGETHER),
    ("key: tls/server.key", WHOLE, tls.TOGETHER),
    (f"{PAIR}, crl: tls/ca.crl", WHOLE, tls.FOR_CLIENTS),
    (f"{PAIR}, require_client_certificate: true", WHOLE, tls.FOR_CLIENTS),
    ("certificate: tls/server.crt, key: tls/other.key", WHOLE, "the key is not the certificate's"),
    (
        "certificates: [{certificate: tls/server.crt, key: tls/other.key}]",
        f"{WHOLE}.certificates[0]",
        "the key is not the certificate's",
    ),
    ("certificate: tls/gone.crt, key: tls/server.key", f"{WHOLE}.certificate", "no such file: tls/gone.crt"),
    (
        "certificate: tls/server.key, key: tls/server.key",
        f"{WHOLE}.certificate",
        "it holds no certificate in PEM: tls/server.key",
    ),
    ("certificate: tls/server.crt, key: tls/ca.crl", f"{WHOLE}.key", "it holds no private key in PEM: tls/ca.crl"),
    (f"{PAIR}, client_ca: tls/ca.crl", f"{WHOLE}.client_ca", "it holds no certificate in PEM: tls/ca.crl"),
    (
        f"{PAIR}, client_ca: tls/ca.crt, crl: tls/ca.crt",
        f"{WHOLE}.crl",
        "it holds no list of revoked certificates in PEM: tls/ca.crt",
    ),
]


@pytest.mark.parametrize(("settings", "path", "message"), MISTAKES)
def test_what_envoy_could_not_use_is_told_with_its_place(settings: str, path: str, message: str) -> None:
    assert told(listening(settings)) == f"{path}: {message}"


def test_a_key_with_a_password_is_told_as_one() -> None:
    issued = Authority().issue(dns("a.test"))
    locked = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    written("server.key", locked)
    assert "locked with a password" in told(listening(PAIR))


WEAK: Final = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what is to be refused


@pytest.mark.parametrize("key", [WEAK, ed25519.Ed25519PrivateKey.generate()])
def test_a_key_that_envoy_does_not_use_is_told(key: CertificateIssuerPrivateKeyTypes) -> None:
    written("server.crt", self_signed(key))
    assert "Envoy uses keys of" in told(listening(PAIR))


@pytest.mark.parametrize(
    "key",
    [rsa.generate_private_key(65537, 2048), *(ec.generate_private_key(c()) for c in (ec.SECP384R1, ec.SECP521R1))],
)
def test_keys_that_envoy_uses_are_fine(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    written("server.crt", self_signed(key))
    check_chain(Path("tls/server.crt").read_bytes())


def self_signed(key: CertificateIssuerPrivateKeyTypes) -> bytes:
    made = Authority().certificate
    name = x509.Name([])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(made.not_valid_before_utc).not_valid_after(made.not_valid_after_utc)
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM)


def test_a_file_beyond_any_list_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "MAX_FILE_BYTES", 10)
    assert told(calling("san: a, ca: tls/ca.crt")) == "upstreams.users.tls.ca: larger than 10 bytes: tls/ca.crt"


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ("ca: tls/ca.crt", "upstreams.users.tls.san", "is missing"),
        ("san: [], ca: tls/ca.crt", "upstreams.users.tls.san", "has 0 entries, needs at least 1"),
        ('san: "*.internal", ca: tls/ca.crt', "upstreams.users.tls.san[0]", tls.NO_SAN),
        ('san: [a, ""], ca: tls/ca.crt', "upstreams.users.tls.san[1]", tls.NO_SAN),
        ("san: a, sni: 'a b', ca: tls/ca.crt", "upstreams.users.tls.sni", tls.NO_SNI),
        ("san: a, ca: tls/ca.crt, key: tls/client.key", "upstreams.users.tls", tls.TOGETHER),
        (
            "san: a, ca: tls/ca.crt, certificate: tls/client.crt, key: tls/server.key",
            "upstreams.users.tls",
            "the key is not the certificate's",
        ),
    ],
)
def test_an_upstream_that_anybody_could_be_is_told(settings: str, path: str, message: str) -> None:
    assert told(calling(settings)) == f"{path}: {message}"


@pytest.mark.parametrize(
    ("settings", "sans", "sni"),
    [
        ("san: Users.internal", [San(SanType.DNS, "users.internal")], "users.internal"),
        ("san: users.internal, sni: other", [San(SanType.DNS, "users.internal")], "other"),
        ('san: "spiffe://x/Y"', [San(SanType.URI, "spiffe://x/Y")], ""),
        ("san: 10.0.0.7", [San(SanType.IP, "10.0.0.7")], ""),
        (
            'san: ["0:0::1", "spiffe://x", a.b, c.d]',
            [San(SanType.IP, "::1"), San(SanType.URI, "spiffe://x"), San(SanType.DNS, "a.b"), San(SanType.DNS, "c.d")],
            "a.b",
        ),
    ],
)
def test_a_name_has_its_type_and_the_first_host_is_asked_for(settings: str, sans: list[San], sni: str) -> None:
    planned = compile_plan(load_text(calling(f"{settings}, ca: tls/ca.crt")), {}).upstreams["users"].tls
    assert planned is not None
    assert (list(planned.sans), planned.sni) == (sans, sni)


def test_without_authorities_of_its_own_the_systems_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = str(Path("tls/ca.crt").absolute())
    monkeypatch.setattr(tls, "BUNDLES", ("/nowhere", bundle))
    planned = compile_plan(load_text(calling("san: a")), {}).upstreams["users"].tls
    assert planned is not None
    assert planned.ca == bundle
    monkeypatch.setattr(tls, "BUNDLES", ())
    assert told(calling("san: a")) == f"upstreams.users.tls: {tls.NO_BUNDLE}"


def test_where_its_files_are_is_no_part_of_the_revision() -> None:
    plain = listening(PAIR).replace(f", tls: {{{PAIR}}}", "")
    assert load_text(listening(PAIR)).revision == load_text(plain).revision

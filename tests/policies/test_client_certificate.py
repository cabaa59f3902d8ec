"""Client certificates: exactly one name of exactly the type that was asked for."""

from __future__ import annotations

from typing import Final

import pytest
from cryptography import x509
from pydantic import ValidationError

from extproc.certificates import Certificate, read_certificate
from extproc.core.message import Consumer
from extproc.core.policy import Authenticator
from extproc.policies.client_certificate import ClientCertificateKind, ClientCertificateSettings
from extproc.testing import FakeClock, fake_ports
from tests.certificates import CLIENT, Authority, Issued, dns, email, uri
from tests.policies.asking import asking, refused

AUTHORITY: Final = Authority()
ALL: Final = AUTHORITY.issue(
    uri("spiffe://x/a"), dns("a.test"), email("a@test"), common_names=["a"], usage=CLIENT
)  # fmt: skip
NAMES: Final = {
    "san_uri": "spiffe://x/a", "san_dns": "a.test", "san_email": "a@test", "subject_cn": "a",
    "fingerprint": ALL.fingerprint,
}  # fmt: skip
NO_CONSUMER: Final = (401, "no_consumer")


def method(now: float | None = None, **settings: object) -> Authenticator:
    clock = FakeClock(now if now is not None else ALL.certificate.not_valid_before_utc.timestamp() + 1)
    return ClientCertificateKind.build(
        "devices", ClientCertificateSettings.model_validate(settings), fake_ports(clock=clock)
    )


async def asked(shown: Issued | str, **settings: object) -> Consumer | tuple[int, str]:
    pem = shown if isinstance(shown, str) else shown.pem.decode()
    answer = await method(**settings).authenticate(asking(certificate=pem))  # type: ignore[arg-type]
    return answer if isinstance(answer, Consumer) else refused(answer)


def issued(*names: x509.GeneralName, common_names: tuple[str, ...] = ()) -> Issued:
    return AUTHORITY.issue(*names, common_names=common_names, usage=CLIENT)


@pytest.mark.parametrize(("kind", "name"), NAMES.items(), ids=NAMES)
async def test_each_type_of_name_is_read_by_itself(kind: str, name: str) -> None:
    assert await asked(ALL, consumer=kind) == Consumer(name)


async def test_tier_scopes_and_groups_are_the_operators() -> None:
    settings = {"tier": "free", "scopes": ["read"], "groups": ["devices"]}
    expected = Consumer("a", "free", ("read",), groups=("devices",))
    assert await asked(ALL, consumer="subject_cn", **settings) == expected


@pytest.mark.parametrize("kind", NAMES)
def test_the_credential_is_the_certificate_and_no_header(kind: str) -> None:
    devices = method(consumer=kind)
    assert devices.presents(asking(certificate=ALL.pem.decode()))
    assert not devices.presents(asking({"x-forwarded-client-cert": "URI=spiffe://x/a"}))
    assert (devices.challenge, tuple(devices.credential_headers)) == ("", ())


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("san_uri", issued()),
        ("san_uri", issued(dns("spiffe.x"), email("a@test"), common_names=("spiffe://x/a",))),
        ("san_uri", issued(uri("spiffe://x/a"), uri("spiffe://x/b"))),
        ("san_uri", issued(uri("spiffe://x/a"), uri("spiffe://x/a"))),
        ("san_dns", issued(uri("a.test"), common_names=("a.test",))),
        ("san_dns", issued(dns("a.test"), dns("b.test"))),
        ("san_email", issued(dns("a.test"))),
        ("subject_cn", issued(dns("a.test"))),
        ("subject_cn", issued(common_names=("a", "b"))),
        ("subject_cn", issued(common_names=("a\nb",))),
        ("subject_cn", issued(common_names=("a\x00b",))),
    ],
)
async def test_none_or_two_or_another_type_or_one_that_no_header_can_carry_is_nobody(kind: str, shown: Issued) -> None:
    assert await asked(shown, consumer=kind) == NO_CONSUMER


@pytest.mark.parametrize(
    ("settings", "known"),
    [
        ({"allowed": ["spiffe://x/a"]}, True),
        ({"allowed": ["spiffe://x/b", "spiffe://x/a"]}, True),
        ({"allowed": ["spiffe://x/"]}, False),
        ({"allowed": ["spiffe://x/A"]}, False),
        ({"prefix": "spiffe://x/"}, True),
        ({"prefix": "spiffe://y/"}, False),
        ({"prefix": "x/a"}, False),
        ({"prefix": "spiffe://x/", "allowed": ["spiffe://x/b"]}, False),
    ],
)
async def test_only_the_names_that_are_allowed_may_call(settings: dict[str, object], known: bool) -> None:
    expected = Consumer("spiffe://x/a") if known else (401, "unknown_certificate")
    assert await asked(ALL, consumer="san_uri", **settings) == expected


async def test_a_certificate_ends_while_its_connection_is_open() -> None:
    valid = ALL.certificate
    first, last = valid.not_valid_before_utc.timestamp(), valid.not_valid_after_utc.timestamp()
    for now, good in ((first - 1, False), (first, True), (last, True), (last + 1, False)):
        expected = Consumer("a") if good else (401, "expired_certificate")
        assert await asked(ALL, consumer="subject_cn", now=now) == expected


@pytest.mark.parametrize(
    "pem",
    ["x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ALL.key_pem.decode(), "\ud800"],
    ids=["text", "no certificate", "a key", "a surrogate"],
)
async def test_what_cannot_be_read_is_refused(pem: str) -> None:
    assert await asked(pem, consumer="subject_cn") == (401, "unreadable_certificate")


@pytest.mark.parametrize(
    "name",
    [ALL.fingerprint.upper(), ALL.fingerprint[:-1], "ab:" * 21 + "ab", "g" * 64],
    ids=["capitals", "short", "colons", "letters"],
)
def test_a_fingerprint_has_one_spelling(name: str) -> None:
    with pytest.raises(ValidationError, match="64 hexadecimal digits"):
        ClientCertificateSettings(consumer="fingerprint", allowed=[name])


@pytest.mark.parametrize("settings", [{}, {"consumer": "san"}, {"consumer": "san_uri", "allowed": []}])
def test_settings_that_could_never_match_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        ClientCertificateSettings.model_validate(settings)


def test_a_certificate_is_read_once_and_remembered_within_bounds() -> None:
    pem = ALL.pem.decode()
    first = read_certificate(pem)
    assert isinstance(first, Certificate)
    assert read_certificate(str(pem)) is first
    assert read_certificate.cache_info().maxsize == 1024

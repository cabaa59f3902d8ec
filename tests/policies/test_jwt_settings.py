"""What an operator may write behind `jwt:`, and what it means."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import ValidationError

from extproc.core.message import Consumer
from extproc.core.ports import ASYMMETRIC, KeySource
from extproc.policies.jwt import JwtKind, JwtSettings
from extproc.testing import fake_ports
from tests.policies.tokens import CLAIMS, ISSUER, outcome, signed, token

REQUIRED: Final = {"issuer": ISSUER, "audiences": ["shop"]}
FILE: Final = __file__
URL: Final = "https://id.example.com/jwks"
SECRET: Final = "a secret that both sides hold, of more than 64 bytes, for every one of the hashes"


def settings(**written: Any) -> JwtSettings:
    return JwtSettings.model_validate({**REQUIRED, **written})


SOURCES: Final[dict[str, tuple[dict[str, Any], KeySource]]] = {
    "a file": ({"jwks": FILE}, KeySource(ISSUER, FILE)),
    "a URL": ({"jwks": URL}, KeySource(ISSUER, URL)),
    "a URL of this machine": ({"jwks": "http://127.0.0.1:1/k"}, KeySource(ISSUER, "http://127.0.0.1:1/k")),
    "discovery": ({}, KeySource(ISSUER)),
    "a secret": ({"secret": SECRET}, KeySource(ISSUER, secret=SECRET, algorithms=("HS256",))),
    "a secret for another hash": (
        {"secret": SECRET, "algorithms": ["HS512"]}, KeySource(ISSUER, secret=SECRET, algorithms=("HS512",))
    ),
    "a file of secrets": (
        {"jwks": FILE, "algorithms": ["HS256", "HS384"]}, KeySource(ISSUER, FILE, algorithms=("HS256", "HS384"))
    ),
    "fewer algorithms": ({"algorithms": ["PS256", "ES256"]}, KeySource(ISSUER, algorithms=("PS256", "ES256"))),
    "a short outage": ({"jwks": URL, "max_outage": "10m"}, KeySource(ISSUER, URL, outlast=600)),
}  # fmt: skip
MISTAKES: Final[dict[str, tuple[dict[str, Any], str, str]]] = {
    "a file and a secret": ({"jwks": FILE, "secret": SECRET}, "secret", "write jwks or secret, not both"),
    "a URL and a secret": ({"jwks": URL, "secret": SECRET}, "secret", "write jwks or secret, not both"),
    "an empty secret": ({"secret": ""}, "secret", "a secret has at least one character"),
    "no such file": ({"jwks": "/none.json"}, "jwks", "no such file"),
    "a URL without TLS": ({"jwks": "http://id.example.com/jwks"}, "jwks", "not a URL to ask"),
    "a URL of a file": ({"jwks": "file:///etc/passwd"}, "jwks", "not a URL to ask"),
    "a number": ({"jwks": 5}, "jwks", "write the name of a file, or a URL"),
    "a list": ({"jwks": [FILE]}, "jwks", "write the name of a file, or a URL"),
    "no algorithm": ({"algorithms": []}, "algorithms", "at least 1 item"),
    "none": ({"algorithms": ["none"]}, "algorithms", "Input should be 'RS256'"),
    "an unknown algorithm": ({"algorithms": ["ES256K"]}, "algorithms", "Input should be 'RS256'"),
    "both sorts of algorithms": ({"jwks": FILE, "algorithms": ["RS256", "HS256"]}, "algorithms", "not both"),
    "both sorts, with a secret": ({"secret": SECRET, "algorithms": ["RS256", "HS256"]}, "algorithms", "not both"),
    "a secret for two hashes": ({"secret": SECRET, "algorithms": ["HS256", "HS512"]}, "algorithms", "one algorithm"),
    "a secret for RS256": ({"secret": SECRET, "algorithms": ["RS256"]}, "algorithms", "one algorithm"),
    "secrets from a URL": ({"jwks": URL, "algorithms": ["HS256"]}, "algorithms", "what is published is none"),
    "secrets by discovery": ({"algorithms": ["HS256"]}, "algorithms", "what is published is none"),
    "no type": ({"types": []}, "types", "at least 1 item"),
    "an empty type": ({"types": [""]}, "types", "at least 1 character"),
    "more than a minute of leeway": ({"leeway": 61}, "leeway", "less than or equal to 60"),
    "leeway before the start": ({"leeway": -1}, "leeway", "greater than or equal to 0"),
    "no outage": ({"max_outage": "0s"}, "max_outage", "longer than nothing"),
    "nobody": ({"audiences": []}, "audiences", "at least 1 item"),
    "an empty issuer": ({"issuer": ""}, "issuer", "at least 1 character"),
    "an unknown key": ({"jwks_uri": URL}, "jwks_uri", "Extra inputs are not permitted"),
}


@pytest.mark.parametrize("case", SOURCES)
def test_the_keys_are_in_one_place(case: str) -> None:
    written, source = SOURCES[case]
    assert settings(**written).source() == source


def test_without_a_word_only_keys_that_others_may_read_are_accepted() -> None:
    assert settings().source().algorithms == ASYMMETRIC


@pytest.mark.parametrize("case", MISTAKES)
def test_what_cannot_hold_is_told_where_it_stands(case: str) -> None:
    written, key, sentence = MISTAKES[case]
    with pytest.raises(ValidationError, match=r".") as refused:
        settings(**written)
    (error,) = refused.value.errors()
    assert error["loc"][0] == key
    assert sentence in error["msg"]
    assert SECRET not in str(refused.value)


def test_a_secret_is_not_shown() -> None:
    assert SECRET not in repr(settings(secret=SECRET))
    assert SECRET not in repr(JwtKind.build("company", settings(secret=SECRET), fake_ports()))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_of_a_secret_is_believed_where_it_is_configured(algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "JWT"}
    written = {"jwks": None, "secret": SECRET, "algorithms": [algorithm]}
    assert isinstance(await outcome(signed(header, CLAIMS, algorithm, SECRET.encode()), **written), Consumer)
    assert await outcome(signed(header, CLAIMS, algorithm, SECRET[1:].encode()), **written) == "invalid_signature"
    assert await outcome(token(), **written) == "unknown_key"


@pytest.mark.parametrize(("secret", "algorithm"), [("s" * 31, "HS256"), ("s" * 47, "HS384"), ("s" * 63, "HS512")])
def test_a_secret_is_at_least_as_long_as_its_hash(secret: str, algorithm: str) -> None:
    with pytest.raises(ValueError, match=f"a secret for {algorithm} has at least"):
        JwtKind.build("company", settings(secret=secret, algorithms=[algorithm]), fake_ports())


async def test_only_the_algorithms_that_are_written_are_accepted() -> None:
    assert isinstance(await outcome(token(), algorithms=["ES256"]), Consumer)
    rsa = signed({"alg": "RS256", "kid": "RS256"}, CLAIMS, "RS256")
    assert isinstance(await outcome(rsa, algorithms=["RS256"]), Consumer)
    assert await outcome(rsa, algorithms=["ES256"]) == "unknown_key"


TYPES: Final = [
    (..., ["at+jwt"], False), ("JWT", ["at+jwt"], False), ("jwt", ["at+jwt"], False), ("id+jwt", ["at+jwt"], False),
    ("at+jwt", ["at+jwt"], True), ("AT+JWT", ["at+jwt"], True), ("application/at+jwt", ["at+jwt"], True),
    ("at+jwt", ["application/AT+JWT"], True), ("at+jwt", ["JWT"], False), (..., ["JWT"], True),
    ("secevent+jwt", ["secevent+jwt"], True),
]  # fmt: skip


@pytest.mark.parametrize(("typ", "types", "accepted"), TYPES)
async def test_an_id_token_is_no_access_token_where_access_tokens_are_asked_for(
    typ: object, types: list[str], accepted: bool
) -> None:
    answer = await outcome(token({} if typ is ... else {"typ": typ}), types=types)
    assert isinstance(answer, Consumer) if accepted else answer == "unsupported_token"


GROUPS: Final[dict[str, tuple[object, object]]] = {
    "none": (..., ()),
    "null": (None, ()),
    "a list": (["staff", "team a", "staff"], ("staff", "team a")),
    "a text": ("team a", ("team a",)),
    "an empty text": ("", ()),
    "a number": (1, "malformed_token"),
    "a list with a number": (["staff", 1], "malformed_token"),
    "an object": ({"staff": True}, "malformed_token"),
}


@pytest.mark.parametrize("case", GROUPS)
async def test_groups_are_a_list_of_texts_or_one(case: str) -> None:
    stated, expected = GROUPS[case]
    for claim in ("groups", "roles"):
        answer = await outcome(token(None, **{claim: stated}), groups=claim)
        assert (answer.groups if isinstance(answer, Consumer) else answer) == expected


def test_the_settings_of_a_file_keep_its_path() -> None:
    assert settings(jwks=FILE).jwks == Path(FILE)
    assert settings(jwks=URL).jwks == URL

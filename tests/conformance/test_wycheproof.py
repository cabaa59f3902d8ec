"""C2SP/wycheproof's JWS vectors against the front of our tokens: key filter, strict header, one key, its own algorithm.

Our front is for JWTs that others sign. So it refuses two things on purpose that a JWS library must take: keys of type
`oct`, whose holders could sign as well as verify, and an empty payload, which holds no claims.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.policies.jwt import InvalidToken, Jwt, JwtSettings, _token
from extproc.stores.jwks import FixedKeySet, parse_jwks
from extproc.testing import FakeClock

VARIABLE: Final = "EXTPROC_CONFORMANCE_DATA"
ACCEPT: Final = "accept"
REJECT: Final = "reject"


@dataclass(frozen=True, slots=True)
class Vector:
    number: int
    key: dict[str, Any]
    token: str
    comment: str
    expected: str

    @property
    def is_beyond_us(self) -> bool:
        return self.key["kty"] == "oct" or ".." in self.token


@cache
def vectors() -> tuple[Vector, ...]:
    """What a strict verifier answers: the vector's own result, but for the eight that `exceptions.json` explains."""
    folder = _folder()
    document = json.loads((folder / "json_web_signature_test.json").read_bytes())
    strict = json.loads((folder / "exceptions.json").read_bytes())["strict_result"]
    return tuple(
        Vector(
            test["tcId"],
            group.get("public") or group["private"],
            test["jws"],
            test["comment"],
            strict.get(str(test["tcId"])) or {"valid": ACCEPT, "invalid": REJECT}[test["result"]],
        )
        for group in document["testGroups"]
        for test in group["tests"]
    )


def _folder() -> Path:
    data = os.environ.get(VARIABLE)  # noqa: TID251 - where the data are is said to the tests alone
    if not data:
        pytest.skip(f"set {VARIABLE} to the folder that holds wycheproof/, to run its 401 signature vectors")
    return Path(data) / "wycheproof"


def answered(vector: Vector) -> str:
    try:
        keys = FixedKeySet(parse_jwks({"keys": [vector.key]}))
    except ValueError:
        return REJECT
    settings = JwtSettings(issuer="wycheproof", audiences=["tests"], jwks=Path(__file__))
    try:
        Jwt("wycheproof", settings, keys, FakeClock())._verified(_token([f"Bearer {vector.token}"]))
    except InvalidToken:
        return REJECT
    return ACCEPT


def test_every_vector_is_there() -> None:
    assert len(vectors()) == 401
    assert Counter(vector.is_beyond_us for vector in vectors()) == {False: 353, True: 48}


def test_our_front_agrees_with_every_vector_that_is_meant_for_it() -> None:
    asked = [vector for vector in vectors() if not vector.is_beyond_us]
    assert [vector for vector in asked if answered(vector) != vector.expected] == []
    assert sum(vector.expected == ACCEPT for vector in asked) == 26


def test_secrets_for_keys_and_payloads_without_claims_are_refused_whatever_their_signature() -> None:
    beyond = [vector for vector in vectors() if vector.is_beyond_us]
    assert [vector for vector in beyond if answered(vector) == ACCEPT] == []

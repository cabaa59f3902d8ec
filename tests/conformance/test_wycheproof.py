"""C2SP/wycheproof's JWS vectors against our reading of a compact JWS: the key filter,
the strict header, one key, that key's own algorithm.
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

from extproc.core.errors import InvalidToken
from extproc.core.ports import ASYMMETRIC
from extproc.stores.jwks import parse_jwks
from extproc.stores.jws import Keyring
from extproc.stores.key_sets import FixedKeySet
from extproc.stores.weak_keys import HASH_BYTES

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


async def answered(vector: Vector) -> str:
    algorithms = (*ASYMMETRIC, *HASH_BYTES)
    try:
        keys = Keyring(parse_jwks({"keys": [vector.key]}, secrets=vector.key["kty"] == "oct"), algorithms)
        await FixedKeySet(keys).payload_of(vector.token)
    except (ValueError, InvalidToken):
        return REJECT
    return ACCEPT


def test_every_vector_is_there() -> None:
    assert len(vectors()) == 401
    assert Counter(vector.expected for vector in vectors()) == {REJECT: 359, ACCEPT: 42}


async def test_we_agree_with_every_vector() -> None:
    assert [vector for vector in vectors() if await answered(vector) != vector.expected] == []

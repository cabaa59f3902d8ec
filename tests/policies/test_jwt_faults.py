"""Tokens that are not believed: one fault each, and the reason that is told for it (acceptance rows 42 to 51)."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.policies.tokens import (
    CLAIMS,
    EC,
    RSA,
    STRANGER,
    answer_to,
    outcome,
    segment,
    signed,
    signed_as_spelled,
    token,
)

GOOD: Final = {"alg": "ES256", "kid": "ES256"}
PEM: Final = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def hmac_by_public_key(kid: str) -> str:
    """What a library takes for good that lets the token say how its key is used."""
    text = f"{segment({'alg': 'HS256', 'kid': kid})}.{segment(CLAIMS)}"
    return f"{text}.{segment(hmac.digest(PEM, text.encode(), hashlib.sha256))}"


def unsigned(algorithm: object, signature: str = "") -> str:
    return f"{segment({'alg': algorithm, 'kid': 'ES256'})}.{segment(CLAIMS)}.{signature}"


def tampered(spelled: str) -> str:
    header, _, signature = spelled.split(".")
    return f"{header}.{segment({**CLAIMS, 'tier': 'premium'})}.{signature}"


def respelled(spelled: str) -> str:
    """The last letter carries two or four bits; with its spare ones set, a lax reader finds the same bytes."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return spelled[:-1] + letters[letters.index(spelled[-1]) + 1]


def signed_with_spare_bits(part: int) -> str:
    """One that its issuer itself has spelled so, in the header (0) or the payload (1)."""
    claims = json.dumps(CLAIMS).encode()
    parts = [segment(GOOD), segment(claims + b" " * ((2 - len(claims)) % 3))]
    parts[part] = respelled(parts[part])
    return signed_as_spelled(".".join(parts))


SIGNATURE: Final = {
    "alg none": (unsigned("none"), "malformed_token"),
    "alg None": (unsigned("None"), "malformed_token"),
    "alg nOnE with a signature": (unsigned("nOnE", "AA"), "unknown_key"),
    "alg none with a signature": (unsigned("none", token().split(".")[2]), "unknown_key"),
    "alg empty": (signed({**GOOD, "alg": ""}, CLAIMS), "unknown_key"),
    "alg missing": (signed({"kid": "ES256"}, CLAIMS), "malformed_token"),
    "alg null": (signed({**GOOD, "alg": None}, CLAIMS), "malformed_token"),
    "alg a list": (signed({**GOOD, "alg": ["ES256"]}, CLAIMS), "malformed_token"),
    "alg in lower case": (signed({**GOOD, "alg": "es256"}, CLAIMS), "unknown_key"),
    "an empty signature": (token().rpartition(".")[0] + ".", "malformed_token"),
    "a short signature": (token()[:-2], "invalid_signature"),
    "a signature of zeros": (token().rpartition(".")[0] + "." + segment(bytes(64)), "invalid_signature"),
    "RS256 key as an HMAC secret": (hmac_by_public_key("RS256"), "unknown_key"),
    "ES256 said, RS256 signed": (signed(GOOD, CLAIMS, "RS256"), "invalid_signature"),
    "RS256 said, ES256 key named": (signed({"alg": "RS256", "kid": "ES256"}, CLAIMS, "RS256"), "unknown_key"),
    "RS512 by an RS256 key": (signed({"alg": "RS512", "kid": "RS256"}, CLAIMS, "RS512", RSA), "unknown_key"),
    "PS256 by an RS256 key": (signed({"alg": "PS256", "kid": "RS256"}, CLAIMS, "PS256", RSA), "unknown_key"),
    "a stranger's key": (signed(GOOD, CLAIMS, key=STRANGER), "invalid_signature"),
    "other claims under the signature": (tampered(token()), "invalid_signature"),
    "other spare bits at the end of the signature": (respelled(token()), "invalid_signature"),
}
KEY_IDS: Final[dict[str, tuple[object, str]]] = {
    "a path": ("../../../dev/null", "unknown_key"),
    "sql": ("x' OR '1'='1", "unknown_key"),
    "a shell": ("|sleep 10", "unknown_key"),
    "nul": ("ES256\x00", "unknown_key"),
    "empty": ("", "unknown_key"),
    "unknown": ("other", "unknown_key"),
    "in another case": ("es256", "unknown_key"),
    "10 KB": ("k" * 10_240, "malformed_token"),
    "a number": (1, "malformed_token"),
    "null": (None, "malformed_token"),
    "a list": (["ES256"], "malformed_token"),
    "an object": ({"ES256": 1}, "malformed_token"),
    "true": (True, "malformed_token"),
}
HEADERS: Final[dict[str, tuple[dict[str, object], str]]] = {
    "an unknown critical extension": ({"crit": ["exp"], "exp": 1}, "unsupported_token"),
    "crit empty": ({"crit": []}, "unsupported_token"),
    "crit no list": ({"crit": "b64"}, "unsupported_token"),
    "b64 false": ({"crit": ["b64"], "b64": False}, "unsupported_token"),
    "b64 false, not critical": ({"b64": False}, "unsupported_token"),
    "b64 true": ({"b64": True}, "unsupported_token"),
    "a nested token": ({"cty": "JWT"}, "unsupported_token"),
    "compressed": ({"zip": "DEF"}, "unsupported_token"),
    "encrypted": ({"enc": "A256GCM"}, "unsupported_token"),
    "typ of a logout token": ({"typ": "logout+jwt"}, "unsupported_token"),
    "typ of a DPoP proof": ({"typ": "dpop+jwt"}, "unsupported_token"),
    "typ of an encrypted token": ({"typ": "JWE"}, "unsupported_token"),
    "typ null": ({"typ": None}, "unsupported_token"),
    "typ a list": ({"typ": ["JWT"]}, "unsupported_token"),
    "typ empty": ({"typ": ""}, "unsupported_token"),
}
SPELLINGS: Final = {
    "nothing": "",
    "two segments": token().rpartition(".")[0],
    "four segments": token() + ".AA",
    "five segments, as a JWE has": ".".join([segment({"alg": "dir", "enc": "A256GCM"}), "", "AA", "AA", "AA"]),
    "JSON serialisation": json.dumps({"payload": segment(CLAIMS), "signatures": []}),
    "padding": token() + "=",
    "padding inside": token().replace(".", "=.", 1),
    "a space behind": token() + " ",
    "a space in front": " " + token(),
    "a tab": "\t" + token(),
    "a line end": token() + "\n",
    "standard base64": token()[:-1] + "+",
    "a comma": f"{token()},{token()}",
    "a full-width letter": "\uff45" + token()[1:],
    "an empty header": "." + token().partition(".")[2],
    "an empty payload": signed(GOOD, b""),
    "60 KB": segment(GOOD) + "." + "A" * 60_000 + ".AA",
    "60 KB of good claims": token(note="x" * 60_000),
    "spare bits of the header": signed_with_spare_bits(0),
    "spare bits of the payload": signed_with_spare_bits(1),
    "a header of one letter": "A" + "." + token().partition(".")[2],
}


def misread(document: dict[str, object]) -> dict[str, bytes]:
    """The document as two readers could understand it differently, or one of them not at all."""
    text = json.dumps(document)
    begun, first = text[:-1], next(iter(document))
    return {
        "UTF-16": text.encode("utf-16"),
        "a byte order mark": b"\xef\xbb\xbf" + text.encode(),
        "latin-1": (begun + ', "name": "\xe9"}').encode("latin-1"),
        "a list": f"[{text}]".encode(),
        "a text": b'"acme"',
        "null": b"null",
        "no JSON": b"acme",
        "two documents": (text * 2).encode(),
        "a name twice": f'{begun}, "{first}": {json.dumps(document[first])}}}'.encode(),
        "a name twice, escaped": f'{begun}, "\\u{ord(first[0]):04x}{first[1:]}": 1}}'.encode(),
        "a name twice, deep": (begun + ', "x": {"a": 1, "a": 2}}').encode(),
        "a lone surrogate": (begun + ', "x": "\\ud800"}').encode(),
        "not a number": (begun + ', "x": NaN}').encode(),
        "depth 100": (begun + ', "x": ' + "[" * 100 + "]" * 100 + "}").encode(),
    }


CLAIM_FAULTS: Final = misread(dict(CLAIMS))
HEADER_FAULTS: Final = misread(dict(GOOD))


@pytest.mark.parametrize("fault", SIGNATURE)
async def test_a_token_is_signed_by_the_key_it_names_with_that_keys_own_algorithm(fault: str) -> None:
    spelled, reason = SIGNATURE[fault]
    assert await outcome(spelled) == reason


@pytest.mark.parametrize("fault", KEY_IDS)
async def test_a_key_id_is_a_name_in_the_key_set_and_nothing_else(fault: str) -> None:
    kid, reason = KEY_IDS[fault]
    assert await outcome(token({"kid": kid})) == reason


@pytest.mark.parametrize("fault", HEADERS)
async def test_what_a_header_demands_and_nobody_here_does_is_refused(fault: str) -> None:
    header, reason = HEADERS[fault]
    assert await outcome(token(header)) == reason


@pytest.mark.parametrize("fault", SPELLINGS)
async def test_a_token_is_spelled_in_exactly_one_way(fault: str) -> None:
    assert await outcome(SPELLINGS[fault]) == "malformed_token"


@pytest.mark.parametrize("fault", CLAIM_FAULTS)
async def test_claims_that_two_readers_could_read_differently_are_refused(fault: str) -> None:
    assert await outcome(signed(GOOD, CLAIM_FAULTS[fault])) == "malformed_token"


@pytest.mark.parametrize("fault", HEADER_FAULTS)
async def test_a_header_that_two_readers_could_read_differently_is_refused(fault: str) -> None:
    assert await outcome(signed(HEADER_FAULTS[fault], CLAIMS)) == "malformed_token"


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Basic YTpi", "Token abc", token(), f"Bearer:{token()}", f"Bearer\t{token()}", f"DPoP {token()}"],
)
async def test_another_scheme_is_told_apart(authorization: str) -> None:
    assert await answer_to(authorization) in {"not_a_bearer_token", "malformed_token"}


@pytest.mark.parametrize("bad", ["Bearer bad", "Basic YTpi", ""])
async def test_two_authorization_fields_are_refused_in_either_order(bad: str) -> None:
    good = f"Bearer {token()}"
    assert await answer_to(good, bad) == "not_a_bearer_token"
    assert await answer_to(bad, good) == "not_a_bearer_token"
    assert await answer_to(good, good) == "not_a_bearer_token"


@pytest.mark.parametrize("size", [60_000, 1_000_000])
async def test_a_token_of_any_size_costs_next_to_nothing(size: int) -> None:
    deep = b"[" * (size // 2) + b"]" * (size // 2)
    flat = json.dumps({**CLAIMS, "note": "x" * size}).encode()
    tokens = [signed(GOOD, payload, key=EC) for payload in (deep, flat)]
    started = time.process_time()
    for spelled in tokens:
        assert await outcome(spelled) == "malformed_token"
    assert time.process_time() - started < 0.2

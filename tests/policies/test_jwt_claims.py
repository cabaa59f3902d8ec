"""Claims that are not believed: when, by whom, for whom, about whom."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest

from extproc.core.claims import check_times
from extproc.core.errors import InvalidToken
from extproc.core.message import Consumer
from tests.policies.tokens import CLAIMS, NOW, outcome, signed, token

GOOD: Final = {"alg": "ES256", "kid": "ES256"}
NO_TIMES: Final[dict[str, str]] = {
    "a text": json.dumps(str(NOW)),
    "true": "true",
    "null": "null",
    "NaN": "NaN",
    "1e400": "1e400",
    "minus 1e400": "-1e400",
    "negative": "-1",
    "10**30": str(10**30),
    "10**400": str(10**400),
    "5,000 digits": "9" * 5_000,
    "the year 10000": "253402300800",
    "a list": f"[{NOW}]",
    "an object": "{}",
}
# field, offset from now or None for absent, what becomes of it
TIMES: Final = [
    ("exp", None, "malformed_token"), ("nbf", None, "good"), ("iat", None, "good"),
    ("exp", -31, "expired"), ("exp", -30, "expired"), ("exp", -29, "good"), ("exp", 10**9, "good"),
    ("nbf", 31, "not_yet_valid"), ("nbf", 30, "good"), ("nbf", -(10**9), "good"),
    ("iat", 31, "not_yet_valid"), ("iat", 30, "good"), ("iat", -(10**9), "good"),
    ("exp", 0.5, "good"), ("exp", -29.5, "good"), ("nbf", 30.5, "not_yet_valid"),
]  # fmt: skip
AUDIENCES: Final[dict[str, tuple[object, bool]]] = {
    "missing": (..., False),
    "null": (None, False),
    "empty": ("", False),
    "an empty list": ([], False),
    "wrong": ("other", False),
    "in another case": ("Shop", False),
    "a list of wrong ones": (["other", "more"], False),
    "a list with a number": (["shop", 1], False),
    "a list with a list": (["shop", ["shop"]], False),
    "an object": ({"shop": True}, False),
    "a number": (1, False),
    "a text with several": ("shop other", False),
    "the one": ("shop", True),
    "another that is accepted": ("admin", True),
    "a list of the one": (["shop"], True),
    "one of several": (["other", "shop"], True),
}
ISSUERS: Final = [
    ..., None, "", "https://id.example.com/", "https://ID.example.com", "https://evil.example", ["https://id.example.com"],
    {"iss": "https://id.example.com"},
]  # fmt: skip
CALLERS: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "sub missing": ({"sub": ...}, "no_consumer"),
    "sub empty": ({"sub": ""}, "no_consumer"),
    "sub null": ({"sub": None}, "no_consumer"),
    "sub a number": ({"sub": 7}, "no_consumer"),
    "sub a list": ({"sub": ["acme"]}, "no_consumer"),
    "tier a number": ({"tier": 1}, "malformed_token"),
    "tier a list": ({"tier": ["premium"]}, "malformed_token"),
    "tier false": ({"tier": False}, "malformed_token"),
    "scope a number": ({"scope": 1}, "malformed_token"),
    "scope an object": ({"scope": {"admin": True}}, "malformed_token"),
    "scope a list with a number": ({"scope": ["orders:read", 1]}, "malformed_token"),
    "scope true": ({"scope": True}, "malformed_token"),
}


@pytest.mark.parametrize("field", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("fault", NO_TIMES)
async def test_a_time_is_a_number_of_seconds_before_the_year_10000(field: str, fault: str) -> None:
    text = json.dumps({name: value for name, value in CLAIMS.items() if name != field})
    payload = f'{text[:-1]}, "{field}": {NO_TIMES[fault]}}}'.encode()
    assert await outcome(signed(GOOD, payload)) == "malformed_token"


@pytest.mark.parametrize(("field", "offset", "expected"), TIMES)
async def test_times_hold_with_a_leeway_of_half_a_minute(field: str, offset: float | None, expected: str) -> None:
    stated: dict[str, Any] = {field: ... if offset is None else NOW + offset}
    answer = await outcome(token(**stated))
    assert ("good" if isinstance(answer, Consumer) else answer) == expected


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400, -0.5, True, "1"])
def test_whatever_a_reader_makes_of_a_number_a_time_must_be_finite(value: object) -> None:
    with pytest.raises(InvalidToken, match="malformed_token"):
        check_times({"exp": value}, NOW, 30)


@pytest.mark.parametrize("case", AUDIENCES)
async def test_a_token_must_be_meant_for_us(case: str) -> None:
    audience, accepted = AUDIENCES[case]
    answer = await outcome(token(aud=audience))
    assert isinstance(answer, Consumer) if accepted else answer == "wrong_audience"


@pytest.mark.parametrize("issuer", ISSUERS)
async def test_a_token_must_come_from_our_issuer_to_the_letter(issuer: object) -> None:
    assert await outcome(token(iss=issuer)) == "wrong_issuer"


@pytest.mark.parametrize("case", CALLERS)
async def test_a_token_must_say_who_is_asking_in_the_types_we_read(case: str) -> None:
    claims, reason = CALLERS[case]
    assert await outcome(token(**claims)) == reason

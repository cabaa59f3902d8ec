"""The claims of a token that was verified already: read so that no two readers could differ (RFC 7519 §4.1)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from extproc.core.errors import InvalidToken
from extproc.core.strict_json import loads_strictly

LATEST: Final = 253_402_300_800  # the year 10000: beyond it, a date is a mistake


def read_claims(payload: bytes) -> Mapping[str, Any]:
    """Raises InvalidToken where it is no JSON object, or one that two readers could understand differently."""
    try:
        value = loads_strictly(payload)
    except ValueError:
        raise InvalidToken("malformed_token") from None
    if not isinstance(value, dict):
        raise InvalidToken("malformed_token")
    return value


def check_times(claims: Mapping[str, Any], now: float, leeway: float) -> None:
    """`exp` must be there; `nbf` and `iat` must hold where they are (RFC 7519 §4.1.4 to §4.1.6).

    Raises:
        InvalidToken: it is over, not valid yet, or says when in no number.
    """
    if time_of(claims, "exp", required=True) + leeway <= now:
        raise InvalidToken("expired")
    if time_of(claims, "nbf") - leeway > now or time_of(claims, "iat") - leeway > now:
        raise InvalidToken("not_yet_valid")


def time_of(claims: Mapping[str, Any], name: str, *, required: bool = False) -> float:
    """Seconds since the epoch; 0 where it is left out and need not be there. Raises InvalidToken."""
    if name not in claims and not required:
        return 0.0
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken("malformed_token")
    if not 0 <= value < LATEST:  # before it becomes a float, which not every integer can
        raise InvalidToken("malformed_token")
    return float(value)


def check_audience(audience: Any, accepted: Collection[str]) -> None:
    """Raises InvalidToken where none of the accepted is named, or anything there is no text."""
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        raise InvalidToken("wrong_audience")
    if not set(named) & set(accepted):
        raise InvalidToken("wrong_audience")


def names_in(value: Any) -> tuple[str, ...]:
    """What a claim lists: a space-delimited text (RFC 8693 §4.2) or a list of texts. Raises InvalidToken."""
    if value is None:
        return ()
    named = value.split(" ") if isinstance(value, str) else value
    if not isinstance(named, list) or not all(isinstance(item, str) and " " not in item for item in named):
        raise InvalidToken("malformed_token")  # a space inside one would make it two for the upstream
    return tuple(dict.fromkeys(item for item in named if item))

"""What the payload of a token must say before anybody believes it (RFC 7519 §4.1, RFC 8725 §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from extproc import InvalidToken, loads_strictly

LATEST: Final = 253_402_300_800  # the year 10000: beyond it, a date is a mistake


def read_claims(payload: bytes) -> Mapping[str, Any]:
    try:
        value = loads_strictly(payload)
    except ValueError:
        raise InvalidToken("malformed_token") from None
    if not isinstance(value, dict):
        raise InvalidToken("malformed_token")
    return value


def check_times(claims: Mapping[str, Any], now: float, leeway: int) -> float:
    """Until when the token is good. `exp` must be there; `nbf` and `iat` must hold where they are (RFC 7519 §4.1.4 to
    §4.1.6)."""
    until = _time(claims, "exp", required=True) + leeway
    if until <= now:
        raise InvalidToken("expired")
    if _time(claims, "nbf") - leeway > now or _time(claims, "iat") - leeway > now:
        raise InvalidToken("not_yet_valid")
    return until


def check_audience(audience: Any, accepted: Sequence[str]) -> None:
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(item, str) for item in named):
        raise InvalidToken("wrong_audience")
    if not set(named) & set(accepted):
        raise InvalidToken("wrong_audience")


def scopes_in(value: Any) -> tuple[str, ...]:
    """A space-delimited text (RFC 8693 §4.2) or a list of texts."""
    named = _texts(value.split(" ") if isinstance(value, str) else value)
    if any(" " in item for item in named):
        raise InvalidToken("malformed_token")  # a space inside one would make it two for the upstream
    return named


def groups_in(value: Any) -> tuple[str, ...]:
    """A list of texts, or one text; a group's name may have spaces."""
    return _texts([value] if isinstance(value, str) else value)


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidToken("malformed_token")
    return tuple(dict.fromkeys(item for item in value if item))


def _time(claims: Mapping[str, Any], name: str, *, required: bool = False) -> float:
    if name not in claims and not required:
        return 0.0
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidToken("malformed_token")
    if not 0 <= value < LATEST:  # before it becomes a float, which not every integer can
        raise InvalidToken("malformed_token")
    return float(value)

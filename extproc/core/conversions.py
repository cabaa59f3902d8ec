"""Ways of writing one value in two ways, each with its way back: what a lens may do to a value.

A conversion raises ValueError for what it cannot bring back exactly. Only the spelling of a moment is not kept:
12:00+01:00 comes back as 11:00Z.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

EXACT: Final = 2**53  # beyond it, two whole numbers are one to a reader whose numbers are doubles (RFC 8259 §6)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
THOUSANDTHS: Final = 1000
HUNDREDTHS: Final = 100
INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
MOMENT: Final = re.compile(  # RFC 3339 §5.6, to the millisecond
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,3}0*)?(Z|[+-][0-9]{2}:[0-9]{2})"
)
Change = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """`samples` are values that `forward` takes: a proof of the round trip begins with them."""

    name: str
    forward: Change
    backward: Change
    samples: tuple[Any, ...]

    def inverse(self, name: str = "") -> Conversion:
        samples = tuple(map(self.forward, self.samples))
        return Conversion(name or self.name, self.backward, self.forward, samples)


def table(pairs: Mapping[str, str]) -> Conversion:
    """The words of one version and of the other. Raises ValueError where two words would become one."""
    back: dict[str, str] = {}
    for before, after in pairs.items():
        if after in back:
            raise ValueError(f"{back[after]!r} and {before!r} both become {after!r}, so nobody could say which it was")
        back[after] = before
    return Conversion(
        "table", lambda value: _looked_up(pairs, value), lambda value: _looked_up(back, value), tuple(pairs)
    )


def _looked_up(words: Mapping[str, str], value: Any) -> str:
    if not isinstance(value, str) or value not in words:
        raise ValueError("a value that the table does not have")
    return words[value]


def _number_to_text(value: Any) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or not INTEGER.fullmatch(str(value)):
        raise ValueError("not a whole number of at most 18 digits")
    return str(value)


def _text_to_number(value: Any) -> int:
    if not isinstance(value, str) or not INTEGER.fullmatch(value):
        raise ValueError("not a whole number of at most 18 digits as text")
    return int(value)


def _flag_to_text(value: Any) -> str:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return "true" if value else "false"


def _text_to_flag(value: Any) -> bool:
    if value not in ("true", "false"):
        raise ValueError("neither true nor false as text")
    return bool(value == "true")


def _lower_to_upper(value: Any) -> str:
    if not isinstance(value, str) or value.upper().lower() != value:
        raise ValueError("not a text in lower case")
    return value.upper()


def _upper_to_lower(value: Any) -> str:
    if not isinstance(value, str) or value.lower().upper() != value:
        raise ValueError("not a text in upper case")
    return value.lower()


def _text_to_list(value: Any) -> list[str]:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value.split(",") if value else []


def _list_to_text(value: Any) -> str:
    texts = isinstance(value, list) and all(isinstance(item, str) and "," not in item for item in value)
    if not texts or value == [""]:
        raise ValueError("not a list of texts without commas")
    return ",".join(value)


def _times(factor: int) -> tuple[Change, Change]:
    """A number, and how many parts of that size it is."""

    def parts(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) * factor > EXACT:
            raise ValueError("not a number, or too large a one")
        counted = round(value * factor)
        if counted / factor != value:
            raise ValueError(f"finer than 1/{factor}")
        return counted

    def whole(value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) > EXACT:
            raise ValueError("not a whole number, or too large a one")
        return value // factor if value % factor == 0 else value / factor

    return parts, whole


_to_milliseconds, _to_seconds = _times(THOUSANDTHS)
_to_hundredths, _to_units = _times(HUNDREDTHS)


def _milliseconds_to_moment(value: Any) -> str:
    _to_seconds(value)
    try:
        moment = EPOCH + value * MILLISECOND
    except OverflowError:
        raise ValueError("not a moment of the years 1 to 9999") from None
    spelled: str = moment.isoformat(timespec="milliseconds" if value % THOUSANDTHS else "seconds")
    return spelled.replace("+00:00", "Z")


def _moment_to_milliseconds(value: Any) -> int:
    if not isinstance(value, str) or not MOMENT.fullmatch(value.upper()):
        raise ValueError("not a moment as RFC 3339 writes it, to the millisecond")
    try:
        return (datetime.fromisoformat(value.upper()) - EPOCH) // MILLISECOND
    except (ValueError, OverflowError):
        raise ValueError("no moment of the calendar") from None


NUMBERS: Final = (0, 7, -3, 1_735_689_600)
DECIMALS: Final = (*NUMBERS, 0.25, 12.3, -0.07)
FORWARD: Final = (
    Conversion("number_to_text", _number_to_text, _text_to_number, NUMBERS),
    Conversion("boolean_to_text", _flag_to_text, _text_to_flag, (True, False)),
    Conversion("lower_to_upper", _lower_to_upper, _upper_to_lower, ("", "open", "in_review")),
    Conversion("text_to_list", _text_to_list, _list_to_text, ("", "a", "a,b", ",")),
    Conversion("seconds_to_milliseconds", _to_milliseconds, _to_seconds, DECIMALS),
    Conversion("units_to_hundredths", _to_hundredths, _to_units, DECIMALS),
    Conversion("unix_milliseconds_to_rfc3339", _milliseconds_to_moment, _moment_to_milliseconds, NUMBERS),
    Conversion(
        "unix_seconds_to_rfc3339",
        lambda value: _milliseconds_to_moment(_to_milliseconds(value)),
        lambda value: _to_seconds(_moment_to_milliseconds(value)),
        DECIMALS,
    ),
)


def _both(conversions: Iterable[Conversion]) -> Mapping[str, Conversion]:
    """Each by its name, and its way back by its own: `a_to_b`, `b_to_a`."""
    named = {one.name: one for one in conversions}
    for one in conversions:
        before, after = one.name.split("_to_")
        back = f"{after}_to_{before}"
        named[back] = one.inverse(back)
    return dict(sorted(named.items()))


CONVERSIONS: Final = _both(FORWARD)

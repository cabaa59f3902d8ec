"""JSON as two parties must read it alike (RFC 8725bis, RFC 8259 §4): UTF-8, no name twice, no NaN, bounded."""

from __future__ import annotations

import json
import math
import re
from typing import Any

MAX_DEPTH = 64
MAX_VALUES = 20_000  # what one reader takes some ten milliseconds for, in a loop that answers everybody
# Possessive, and ending with the text where a quote is never closed: otherwise every quote is tried again to the end.
# By runs, since each step of an alternation costs as much as a run of any length.
STRINGS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
MAX_DIGITS = 309  # of the largest number that readers with doubles have; longer ones take time by their square
BRACKETS = re.compile(r"[][{}]")
ESCAPE = "\\u"


def loads_strictly(data: bytes) -> Any:
    """Raises ValueError for everything that another reader could understand differently, or that is too deep."""
    text = data.decode("utf-8")
    if text.startswith("\ufeff"):
        raise ValueError("a byte order mark")
    if text.count(",") + text.count("[") + text.count("{") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    _check_depth(text)
    value = READER.decode(text)
    if ESCAPE in text:  # UTF-8 holds none: only an escape can be half of a character
        WRITER.encode(value).encode("utf-8")  # a lone surrogate is not text
    return value


def _check_depth(text: str) -> None:
    """Before parsing: nesting is the one thing that costs a parser its stack."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in BRACKETS.findall(STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return result


def _whole(spelled: str) -> int:
    if len(spelled) > MAX_DIGITS + 1:  # with its sign
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(spelled)


def _finite(spelled: str) -> float:
    """1e400 is infinite to this reader, and would be written as what no reader takes."""
    number = float(spelled)
    if not math.isfinite(number):
        raise ValueError(f"{spelled} is too large a number")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


# Made once: making one takes as long as reading a small document.
READER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite, parse_int=_whole)
WRITER = json.JSONEncoder(ensure_ascii=False)

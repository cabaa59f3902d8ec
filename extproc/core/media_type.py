"""Which version an Accept header asks for: a media type of the version's own, as one pattern for Envoy and for us.

Envoy matches routes with RE2 and we with `re`, so the pattern keeps to what both read alike.
"""

from __future__ import annotations

import re
from typing import Final

WORD: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
# RFC 9110 §8.3.1, with one parameter at most: `application/vnd.shop.v2+json`, `application/json;version=2`.
MEDIA_TYPE: Final = rf"({WORD})/({WORD})(?:;({WORD})=({WORD}))?"
QUOTED: Final = r'"(?:[^"\\]|\\.)*"'
# Not "not wanted at all": q=0 (RFC 9110 §12.4.2).
WEIGHT: Final = r"q=(?:1(?:\.0{0,3})?|0?\.[0-9]{0,2}[1-9][0-9]{0,2})"
OTHER: Final = rf"(?:[^qQ;,\s=\"]|q[^;,\s=\"])[^;,\s=\"]*(?:=(?:[^;,\s\"]+|{QUOTED}))?"
PARAMETER: Final = rf"\s*;\s*(?:{WEIGHT}|{OTHER})"
RANGE: Final = rf"(?:[^,\"]|{QUOTED})*"  # any other media range of the list


def is_media_type(text: str) -> bool:
    return re.fullmatch(MEDIA_TYPE, text) is not None


def accept_pattern(media_type: str) -> str:
    """What a whole Accept header must be to name this media type, with any weight but none. `*/*` names no version."""
    found = re.fullmatch(MEDIA_TYPE, media_type)
    if found is None:
        raise ValueError("not a media type: write application/vnd.shop.v2+json or application/json;version=2")
    kind, subtype, name, value = found.groups()
    named = rf"{_literal(kind)}/{_literal(subtype)}"
    wanted = rf"\s*;\s*{_literal(name)}=(?:{_literal(value)}|\"{_literal(value)}\")(?:{PARAMETER})*" if name else ""
    one = rf"{named}(?:{PARAMETER})*{wanted}"
    return rf"(?i)(?:{RANGE},)*\s*{one}\s*(?:,{RANGE})*"


def accepts(accept: str, media_type: str) -> bool:
    return re.fullmatch(accept_pattern(media_type), accept) is not None


def _literal(text: str) -> str:
    """As `re.escape`, whose escapes of a few characters RE2 does not know."""
    return "".join(char if char.isalnum() or char in "-_/" else f"[{char}]" if char != "^" else r"\^" for char in text)

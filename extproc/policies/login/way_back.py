"""What a browser brings back from the provider, and the page that it then goes on to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from extproc import Request

LONGEST_RETURN: Final = 1_024  # characters of the page to come back to; a longer one is the start page
LONGEST_CODE: Final = 2_048
MOST_FIELDS: Final = 16  # of a query that has four by the book


@dataclass(frozen=True, slots=True)
class WayBack:
    code: str = field(repr=False)
    state: str
    issuer: str | None
    """Who it comes from, where it says so (RFC 9207)."""


def way_back(query: str) -> WayBack | None:
    """None for whatever brings no code, or could be read in two ways."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        return None
    given = dict(pairs)
    code = given.get("code", "")
    if len(given) != len(pairs) or not 0 < len(code) <= LONGEST_CODE:
        return None
    return WayBack(code, given.get("state", ""), given.get("iss"))


def own_page(request: Request) -> str:
    """The page to come back to: a path on this very host. What begins with two slashes names another one, and browsers
    read a backslash as a slash and leave out control characters (WHATWG URL §4.4)."""
    page = f"{request.path}?{request.query}" if request.query else request.path
    elsewhere = not page.startswith("/") or page.startswith("//") or "\\" in request.path
    odd = any(not "!" <= character <= "~" for character in page)
    return "/" if elsewhere or odd or len(page) > LONGEST_RETURN else page

"""Cookies of a request, read by name: a credential in one is known, and taken out without touching the others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from extproc.core.message import Request

COOKIE: Final = "cookie"


def cookie_of(request: Request, name: str) -> str | None:
    """The value of that cookie; empty where it is sent twice, since nobody can say which one counts."""
    values = [value for found, value in _pairs(request) if found == name]
    return None if not values else values[0] if len(values) == 1 else ""


def cookie_names(request: Request) -> tuple[str, ...]:
    """In their order, which is that of their age where a browser sends them (RFC 6265 §5.4)."""
    return tuple(name for name, _ in _pairs(request))


def without_cookies(request: Request, names: Collection[str]) -> str | None:
    """The field without those cookies, empty where none is left; None where there is nothing to take out. A name with
    `*` at its end stands for all that begin so."""
    pairs = _pairs(request)
    begun = tuple(name[:-1] for name in names if name.endswith("*"))
    kept = [f"{name}={value}" for name, value in pairs if name not in names and not name.startswith(begun)]
    return "; ".join(kept) if len(kept) < len(pairs) else None


def _pairs(request: Request) -> list[tuple[str, str]]:
    """RFC 6265 §5.4 writes them with `; ` between; HTTP/2 may send a field for each (RFC 9113 §8.2.3)."""
    written = ";".join(request.headers.all(COOKIE))
    parts = [part.strip().partition("=") for part in written.split(";") if part.strip()]
    return [(name.strip(), value.strip()) for name, _, value in parts]

"""What a choice sticks to. A client may well send another header or cookie: it is drawn for anew then, among the same
shares, and gets no version that it could not have got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

from extproc import Consumer, CouldNotDecide, Request, cookie_of

CONSUMER: Final = "consumer"
COOKIE: Final = "cookie:"
HEADER: Final = "header:"
CHANCE: Final = "chance"
KEPT: Final = 365 * 86_400  # seconds
BYTES: Final = 16


# The text that the draw is of, what that is, whether there are no more of these than consumers, and a cookie to be set.
# A plain tuple: one is made for each request, and a named one takes half as long as the draw itself.
Subject = tuple[str, str, bool, str]
Reader = Callable[[Request, Consumer | None], Subject]


@dataclass(frozen=True, slots=True)
class Subjects:
    of: Reader

    @classmethod
    def by(cls, sticky: str) -> Self:
        if sticky == CONSUMER:
            return cls(_caller)
        if sticky.startswith(COOKIE):
            return cls(_cookie(sticky, sticky.removeprefix(COOKIE)))
        return cls(_header(sticky, sticky.removeprefix(HEADER)) if sticky.startswith(HEADER) else _chance)


def _caller(request: Request, consumer: Consumer | None) -> Subject:
    if consumer is None:
        raise CouldNotDecide("sticky by consumer, and nobody is known to be asking")
    # Those without a name are told apart by where they are, or they would all get one version.
    return (request.address if consumer.anonymous else consumer.id, CONSUMER, True, "")


def _chance(request: Request, consumer: Consumer | None) -> Subject:
    """Envoy's stream id is random, and so is a choice that sticks to it."""
    return (request.stream, CHANCE, False, "")


def _header(sticky: str, name: str) -> Reader:
    def read(request: Request, consumer: Consumer | None) -> Subject:
        value = request.headers.get(name)
        return _chance(request, consumer) if value is None else (value, sticky, False, "")

    return read


def _cookie(sticky: str, name: str) -> Reader:
    def read(request: Request, consumer: Consumer | None) -> Subject:
        value = cookie_of(request, name)
        if value:  # empty, or sent twice: nobody can say which one counts
            return (value, sticky, False, "")
        made = blake2b(request.stream.encode(), digest_size=BYTES).hexdigest()  # of what is random, and told to nobody
        return (made, sticky, False, _kept(name, made, secure=request.scheme == "https"))

    return read


def _kept(name: str, value: str, *, secure: bool) -> str:
    """RFC 6265bis §4.1.2: no script reads it, and no other site's request carries it."""
    tail = "; Secure" if secure else ""
    return f"{name}={value}; Path=/; Max-Age={KEPT}; HttpOnly; SameSite=Lax{tail}"

"""What a policy answers: Continue, with edits, or LocalReply, with a reason.

Both validate on construction, so an edit that Envoy must not make cannot exist further down.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import chain

from extproc.core.errors import InvalidMutation
from extproc.core.headers import control_character, is_token
from extproc.core.limits import Judged, Settlement
from extproc.core.message import Consumer
from extproc.core.names import is_owned
from extproc.core.quick import quick
from extproc.core.rewrite import Rewrite

# Edits of these could re-route into weaker authentication, break framing or forge what Envoy itself vouches for.
UNSETTABLE = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"}
)
NAMES_REMEMBERED = 1024
SET_COOKIE = "set-cookie"
MAX_HEADERS = 100  # Envoy refuses more (431 or 500); refusing here names the policy
MAX_HEADER_BYTES = 60 * 1024
MAX_REPLY_BODY = 64 * 1024
LOWEST_REFUSAL = 400
# What one caller was refused is nobody else's answer, and a cache in front may have been told to keep 401, 403 and 429,
# which by RFC 9111 §4.2.2 it would not by itself.
UNCACHED = (("cache-control", "no-store"),)
REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")


@quick
@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Header fields to set (replacing what is there) and to remove. Names are lower case."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_names((*[name for name, _ in self.set], *self.remove))
        for name, value in self.set:
            if control_character(value):
                raise InvalidMutation(f"the value for header {name!r} has a control character")
        if self.set:
            self._check_size()

    def _check_size(self) -> None:
        if len(self.set) > MAX_HEADERS:
            raise InvalidMutation(f"{len(self.set)} headers to set, at most {MAX_HEADERS}")
        if sum(map(len, chain.from_iterable(self.set))) > MAX_HEADER_BYTES:
            raise InvalidMutation(f"more than {MAX_HEADER_BYTES} bytes of headers to set")

    def then(self, later: HeaderEdits) -> HeaderEdits:
        """Both, the later one winning where they name the same field. Raises InvalidMutation where that is too much."""
        if self is NO_EDITS:
            return later
        fields = dict(self.set)
        fields.update(later.set)
        removed = (*self.remove, *later.remove)
        if removed:
            for name in later.remove:
                fields.pop(name, None)
            removed = tuple([name for name in dict.fromkeys(removed) if name not in fields])
        return _joined(tuple(fields.items()), removed)

    def __bool__(self) -> bool:
        return bool(self.set or self.remove)


@functools.lru_cache(NAMES_REMEMBERED)  # policies edit the same few fields for every request
def _check_names(names: tuple[str, ...]) -> None:
    for name in names:
        _check_settable(name)
    if len(set(names)) < len(names):
        # Envoy's filters do not agree on which of two edits of one field comes last.
        raise InvalidMutation("one header is edited twice")


def _check_settable(name: str) -> None:
    if not is_token(name):
        raise InvalidMutation(f"{name!r} is not a lower-case header name")
    if name in UNSETTABLE or name.startswith("x-envoy-") or is_owned(name):
        raise InvalidMutation(f"a policy may not touch the header {name!r}")


def _joined(fields: tuple[tuple[str, str], ...], removed: tuple[str, ...]) -> HeaderEdits:
    """Of edits that are good each: what could still be wrong is how much they are together."""
    joined = object.__new__(HeaderEdits)
    object.__setattr__(joined, "set", fields)
    object.__setattr__(joined, "remove", removed)
    joined._check_size()
    return joined


NO_EDITS = HeaderEdits()


@quick
@dataclass(frozen=True, slots=True)
class Continue:
    """Let the message pass, edited.

    `request` and `response` edit the header fields towards the upstream and towards the client; `body` replaces the
    body of the message under judgement; `consumer` says who is asking (authentication only); `upstream` names the
    upstream that shall serve a request whose route leaves the choice open; `facts` go into the decision's record;
    `remove_query` are names of query parameters that the upstream does not get. Envoy writes what is left anew, in the
    order of the names. `rewrite` changes what the upstream is asked for, in the phases FORWARD and REQUEST_BODY. `held`
    is what the request holds of counters until it ends; `judged` when limits were judged.

    Of the choice between a model's versions alone: `cluster` is Envoy's name for the upstream with those that stand in
    for it, `shadow` the model whose shadow gets a copy, `compared` the one whose shadow is asked by ourselves.
    """

    request: HeaderEdits = NO_EDITS
    response: HeaderEdits = NO_EDITS
    body: bytes | None = field(default=None, repr=False)
    consumer: Consumer | None = None
    upstream: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    remove_query: tuple[str, ...] = ()
    held: tuple[Settlement, ...] = field(default=(), repr=False)
    judged: Judged | None = field(default=None, repr=False)
    rewrite: Rewrite | None = None
    cluster: str = ""
    shadow: str = ""
    compared: str = ""


@dataclass(frozen=True, slots=True)
class LocalReply:
    """Refuse, or answer, without the upstream. `reason` is a code in snake_case: a metric label, never a secret.
    `judged` is when limits were judged, where they were."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = field(default=b"", repr=False)
    facts: Mapping[str, str] = field(default_factory=dict)
    judged: Judged | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        HTTPStatus(self.status)
        if not REASON.fullmatch(self.reason):
            raise InvalidMutation(f"{self.reason!r} is not a reason code: snake_case, at most 64 characters")
        check_reply(self.headers)
        if len(self.body) > MAX_REPLY_BODY:
            raise InvalidMutation(f"a local reply has at most {MAX_REPLY_BODY} bytes of body")

    @property
    def refuses(self) -> bool:
        return self.status >= LOWEST_REFUSAL


def check_reply(fields: tuple[tuple[str, str], ...]) -> None:
    """A reply's fields are held to the same rules as edits. Only cookies come in a field each, since they cannot be
    joined (RFC 9110 §5.3)."""
    if len(fields) > MAX_HEADERS:
        raise InvalidMutation(f"{len(fields)} headers to set, at most {MAX_HEADERS}")
    cookies = [value for name, value in fields if name == SET_COOKIE]
    others = [field for field in fields if field[0] != SET_COOKIE]
    HeaderEdits(set=tuple([*others, (SET_COOKIE, "".join(cookies))] if cookies else others))


Decision = Continue | LocalReply
CONTINUE = Continue()


def refusal(
    status: int, reason: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: object
) -> LocalReply:
    """A refusal as problem+json (RFC 9457) that carries the reason code and no more than `detail` says."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "reason": reason}
    body = json.dumps({**problem, "detail": detail, **members}, separators=(",", ":")).encode()
    fields = {"content-type": "application/problem+json", **dict(UNCACHED), **(headers or {})}
    return LocalReply(status, reason, tuple(fields.items()), body)

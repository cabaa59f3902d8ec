"""Who is asking: one credential, of one sort, or a 401."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from extproc.core.cookies import COOKIE, without_cookies
from extproc.core.decision import Continue, Decision, HeaderEdits, LocalReply, refusal
from extproc.core.errors import CouldNotDecide, PolicyFailed, ProviderUnavailable, StoreUnavailable
from extproc.core.message import Consumer, Request
from extproc.core.policy import (
    Authenticator,
    Context,
    Inviting,
    Policy,
    cookies_of,
    credential_query,
    needs_no_credential,
)
from extproc.core.query import parameters_called

LONGEST_ID: Final = 256  # names are kept in counters and written into every record
SEEN_TOGETHER: Final = 256  # combinations of credential headers; a gateway has a few
UNAUTHORIZED: Final = HTTPStatus.UNAUTHORIZED.value


@dataclass(frozen=True, slots=True)
class Authentication(Policy):
    """One credential decides. Two at once are refused, whichever is good: otherwise the one that is checked and the one
    that the upstream believes could differ. Methods that read the same headers read the same credential; of those, the
    first that accepts it vouches, as two issuers of tokens do. `foreign` are the headers in which other routes expect a
    credential, `foreign_query` their query parameters: here they are one too many, and never reach the upstream.
    `cookies` are those in which any method of the gateway keeps one: browsers send them everywhere, so they are only
    taken out. A method that needs no credential is asked only where none is presented: a bad one is refused, and never
    makes its sender anonymous. Where the route `forwards` them, the credentials that it reads stay on the request.
    """

    methods: Sequence[Authenticator]
    foreign: tuple[str, ...] = ()
    cookies: frozenset[str] = frozenset()
    foreign_query: tuple[str, ...] = ()
    forwards: bool = False
    _read: tuple[str, ...] = field(init=False, repr=False)
    _read_query: tuple[str, ...] = field(init=False, repr=False)
    _ended: frozenset[str] = field(init=False, repr=False)  # the cookies that go no further
    _credentialed: tuple[Authenticator, ...] = field(init=False, repr=False)
    _anonymous: tuple[Authenticator, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = dict.fromkeys(header for method in self.methods for header in method.credential_headers)
        object.__setattr__(self, "_read", tuple(named))
        own = {cookie for method in self.methods for cookie in cookies_of(method)} if self.forwards else set()
        object.__setattr__(self, "_ended", self.cookies - own)
        queried = dict.fromkeys(name for method in self.methods for name in credential_query(method))
        object.__setattr__(self, "_read_query", tuple(queried))
        object.__setattr__(self, "_credentialed", tuple(one for one in self.methods if not needs_no_credential(one)))
        object.__setattr__(self, "_anonymous", tuple(one for one in self.methods if needs_no_credential(one)))

    async def on_request(self, request: Request, context: Context) -> Decision:
        presented = [method for method in self._credentialed if method.presents(request)]
        if not presented and not self._anonymous:
            return await self._invited(request) or self._unauthorized("no_credentials", "this route needs a credential")
        foreign = self._brings_foreign(request)
        if not presented and foreign:
            return self._unauthorized("unexpected_credential", "this route does not accept that sort of credential")
        if foreign or (len(presented) > 1 and _read_apart(presented, request)):
            return self._unauthorized("several_credentials", "send one credential, not several")
        return await self._asked(presented or self._anonymous, request)

    async def _invited(self, request: Request) -> LocalReply | None:
        """What a method says to whoever brings nothing: a login sends a browser to where people sign in."""
        for method in self.methods:
            if isinstance(method, Inviting) and (invitation := await method.invite(request)):
                return invitation
        return None

    async def _asked(self, presented: Sequence[Authenticator], request: Request) -> Decision:
        """The first consumer, else the first refusal. Raises where one that refused nothing could not be asked."""
        refused: list[tuple[Authenticator, LocalReply]] = []
        unasked: list[CouldNotDecide] = []
        for method in presented:
            try:
                answer = _checked(method, await method.authenticate(request))
            except (ProviderUnavailable, StoreUnavailable) as error:
                unasked.append(error)
                continue
            if isinstance(answer, Consumer):
                queried = () if self.forwards else self._read_query and self._queried(request)
                return Continue(consumer=answer, request=self._removed(request), remove_query=queried)
            refused.append((method, answer))
        if unasked:  # whoever could not be asked may have known the credential: an outage, and no denial
            raise unasked[0]
        reply = next((answer for method, answer in refused if _meant(method, request)), refused[0][1])
        return replace(reply, headers=reply.headers + self._challenges()) if reply.status == UNAUTHORIZED else reply

    def _brings_foreign(self, request: Request) -> bool:
        if not self.foreign and not self.foreign_query:
            return False
        return any(header in request.headers for header in self.foreign) or any(
            parameters_called(name, request.query) for name in self.foreign_query
        )

    def _queried(self, request: Request) -> tuple[str, ...]:
        return tuple([name for name in self._read_query if parameters_called(name, request.query)])

    def _credentials(self, request: Request) -> tuple[str, ...]:
        return () if self.forwards else tuple([header for header in self._read if header in request.headers])

    def _removed(self, request: Request) -> HeaderEdits:
        headers = self._credentials(request)
        left = without_cookies(request, self._ended) if self._ended else None
        if left is None:
            return _removal(headers)
        gone = headers if left else (*headers, COOKIE)
        return HeaderEdits(((COOKIE, left),) if left else (), gone)

    def _unauthorized(self, reason: str, detail: str) -> LocalReply:
        reply = refusal(UNAUTHORIZED, reason, detail)
        return replace(reply, headers=reply.headers + self._challenges())

    def _challenges(self) -> tuple[tuple[str, str], ...]:
        """One field with every challenge: a reply names a field once."""
        challenges = dict.fromkeys(method.challenge for method in self.methods if method.challenge)
        return (("www-authenticate", ", ".join(challenges)),) if challenges else ()


def _meant(method: Authenticator, request: Request) -> bool:
    """Whether the credential names the method's own scheme (RFC 9110 §11.4): of those who refuse a wrong password, the
    one that reads passwords says why, and not the one that misses a token."""
    scheme = method.challenge.partition(" ")[0].lower()
    values = [request.headers.get(header) or "" for header in method.credential_headers]
    return bool(scheme) and any(value.partition(" ")[0].lower() == scheme for value in values)


def _read_apart(presented: Sequence[Authenticator], request: Request) -> bool:
    """Whether two of them read different headers, parameters or cookies of this request."""
    return len({_places(method, request) for method in presented}) > 1


def _places(method: Authenticator, request: Request) -> tuple[tuple[str, ...], ...]:
    return (
        tuple([header for header in method.credential_headers if header in request.headers]),
        tuple([name for name in credential_query(method) if parameters_called(name, request.query)]),
        cookies_of(method),
    )


@functools.lru_cache(SEEN_TOGETHER)
def _removal(headers: tuple[str, ...]) -> HeaderEdits:
    return HeaderEdits(remove=headers)


def _checked(method: Authenticator, answer: Consumer | LocalReply) -> Consumer | LocalReply:
    if isinstance(answer, LocalReply):
        return answer
    if not isinstance(answer, Consumer):
        raise PolicyFailed(f"authentication {method.name!r} answered {type(answer).__name__}, not a consumer")
    if not answer.id:
        raise PolicyFailed(f"authentication {method.name!r} answered a consumer without an id")
    if len(answer.id) > LONGEST_ID or len(answer.tier or "") > LONGEST_ID:
        return refusal(UNAUTHORIZED, "unacceptable_consumer", "the caller's name or tier is too long")
    if answer.method == method.name:
        return answer
    # By hand: `replace` takes twice as long, and this is made for every request.
    name = method.name
    return Consumer(answer.id, answer.tier, answer.scopes, answer.claims, name, answer.groups, answer.anonymous)

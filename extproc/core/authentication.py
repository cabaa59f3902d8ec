"""Who is asking: one credential, of one sort, or a 401."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from extproc.core.decision import Continue, Decision, HeaderEdits, LocalReply, refusal
from extproc.core.errors import CouldNotDecide, PolicyFailed, ProviderUnavailable, StoreUnavailable
from extproc.core.message import Consumer, Request
from extproc.core.policy import Authenticator, Context, Policy

LONGEST_ID: Final = 256  # names are kept in counters and written into every record
SEEN_TOGETHER: Final = 256  # combinations of credential headers; a gateway has a few
UNAUTHORIZED: Final = HTTPStatus.UNAUTHORIZED.value


@dataclass(frozen=True, slots=True)
class Authentication(Policy):
    """One credential decides. Two at once are refused, whichever is good: otherwise the one that is checked and the one
    that the upstream believes could differ. Methods that read the same headers read the same credential; of those, the
    first that accepts it vouches, as two issuers of tokens do. `foreign` are the headers in which other routes expect a
    credential: here they are one too many, and never reach the upstream. Where the route `forwards` them, those that
    it reads stay on the request.
    """

    methods: Sequence[Authenticator]
    foreign: tuple[str, ...] = ()
    forwards: bool = False
    _read: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = dict.fromkeys(header for method in self.methods for header in method.credential_headers)
        object.__setattr__(self, "_read", tuple(named))

    async def on_request(self, request: Request, context: Context) -> Decision:
        presented = [method for method in self.methods if method.presents(request)]
        if not presented:
            return self._unauthorized("no_credentials", "this route needs a credential")
        if _read_apart(presented) or any(header in request.headers for header in self.foreign):
            return self._unauthorized("several_credentials", "send one credential, not several")
        return await self._asked(presented, request)

    async def _asked(self, presented: Sequence[Authenticator], request: Request) -> Decision:
        """The first consumer, else the first refusal. Raises where one that refused nothing could not be asked."""
        refused: list[LocalReply] = []
        unasked: list[CouldNotDecide] = []
        for method in presented:
            try:
                answer = _checked(method, await method.authenticate(request))
            except (ProviderUnavailable, StoreUnavailable) as error:
                unasked.append(error)
                continue
            if isinstance(answer, Consumer):
                return Continue(consumer=answer, request=_removal(self._credentials(request)))
            refused.append(answer)
        if unasked:  # whoever could not be asked may have known the credential: an outage, and no denial
            raise unasked[0]
        first = refused[0]
        return replace(first, headers=first.headers + self._challenges()) if first.status == UNAUTHORIZED else first

    def _credentials(self, request: Request) -> tuple[str, ...]:
        return () if self.forwards else tuple([header for header in self._read if header in request.headers])

    def _unauthorized(self, reason: str, detail: str) -> LocalReply:
        reply = refusal(UNAUTHORIZED, reason, detail)
        return replace(reply, headers=reply.headers + self._challenges())

    def _challenges(self) -> tuple[tuple[str, str], ...]:
        """One field with every challenge: ext_authz sets a denied reply's headers, so a second field would replace
        the first."""
        challenges = dict.fromkeys(method.challenge for method in self.methods if method.challenge)
        return (("www-authenticate", ", ".join(challenges)),) if challenges else ()


def _read_apart(presented: Sequence[Authenticator]) -> bool:
    """Whether two of them read different headers."""
    return len(presented) > 1 and len({tuple(method.credential_headers) for method in presented}) > 1


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
    return replace(answer, method=method.name)

"""Who is asking: one credential, of one sort, or a 401."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

from extproc.core.decision import Continue, Decision, HeaderEdits, LocalReply, refusal
from extproc.core.errors import PolicyFailed
from extproc.core.message import Consumer, Request
from extproc.core.policy import Authenticator, Context, Policy


@dataclass(frozen=True, slots=True)
class Authentication(Policy):
    """The first method that applies decides. Credentials of two methods at once are refused, whichever is good:
    otherwise the one that is checked and the one that the upstream believes could differ.
    """

    methods: Sequence[Authenticator]

    async def on_request(self, request: Request, context: Context) -> Decision:
        presented = [method for method in self.methods if method.presents(request)]
        if not presented:
            return self._unauthorized("no_credentials", "this route needs a credential")
        if len(presented) > 1:
            return self._unauthorized("several_credentials", "send one credential, not several")
        answer = await presented[0].authenticate(request)
        if isinstance(answer, LocalReply):
            return (
                replace(answer, headers=answer.headers + self._challenges())
                if answer.status == UNAUTHORIZED
                else answer
            )
        if not isinstance(answer, Consumer):
            raise PolicyFailed(f"authentication {presented[0].name!r} answered {type(answer).__name__}, not a consumer")
        if not answer.id:
            raise PolicyFailed(f"authentication {presented[0].name!r} answered a consumer without an id")
        consumer = replace(answer, method=presented[0].name)
        return Continue(consumer=consumer, request=HeaderEdits(remove=self._credentials(request)))

    def _credentials(self, request: Request) -> tuple[str, ...]:
        named = dict.fromkeys(header for method in self.methods for header in method.credential_headers)
        return tuple(header for header in named if header in request.headers)

    def _unauthorized(self, reason: str, detail: str) -> LocalReply:
        reply = refusal(UNAUTHORIZED, reason, detail)
        return replace(reply, headers=reply.headers + self._challenges())

    def _challenges(self) -> tuple[tuple[str, str], ...]:
        """One field with every challenge: ext_authz sets a denied reply's headers, so a second field would replace
        the first."""
        challenges = dict.fromkeys(method.challenge for method in self.methods if method.challenge)
        return (("www-authenticate", ", ".join(challenges)),) if challenges else ()


UNAUTHORIZED = HTTPStatus.UNAUTHORIZED.value

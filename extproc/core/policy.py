"""The plugin surface: what a policy kind declares and what the policy it builds may do.

A *kind* is a name with its settings (`use: NAME` in gateway.yaml); a *policy* is one built from them for one route. The
built-in kinds use this surface and nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

from extproc.core.decision import CONTINUE, Decision, LocalReply
from extproc.core.message import Chosen, Consumer, Request, Response
from extproc.core.ports import Ports
from extproc.core.processing import DEFAULT_RESPONSE_LIMIT
from extproc.core.reservation import Reservation
from extproc.core.streams import BodyEditor


class Phase(Enum):
    """What a policy needs to see. The compiler gives a route the fewest sidecar calls that show it all."""

    REQUEST = "request"
    FORWARD = "forward"
    REQUEST_BODY = "request_body"
    RESPONSE = "response"
    RESPONSE_BODY = "response_body"
    RESPONSE_STREAM = "response_stream"


class Context(NamedTuple):
    """What is known beside the message itself. `limit` is how long a body may be that is shown or made whole;
    `reservation` what the request has reserved of its budgets, where its answer is metered; `chosen` the version of a
    model that was decided for, where an answer is seen as it passes."""

    route: str
    consumer: Consumer | None = None
    limit: int = DEFAULT_RESPONSE_LIMIT
    reservation: Reservation | None = None
    chosen: Chosen | None = None


class Policy:
    """Judges messages. Override the phases that the kind declares; the others let the message pass."""

    async def on_request(self, request: Request, context: Context) -> Decision:
        return CONTINUE

    async def on_forward(self, request: Request, context: Context) -> Decision:
        """The request as its upstream will get it, after everything has let it in: with its body where the phases name
        REQUEST_BODY."""
        return CONTINUE

    async def on_response(self, response: Response, request: Request, context: Context) -> Decision:
        return CONTINUE

    async def on_stream(self, response: Response, request: Request, context: Context) -> BodyEditor | None:
        """Who edits this answer's body as it passes; None where it passes as it is. Asked after `on_response` has let
        the answer go on, where the phases name RESPONSE_STREAM."""
        return None


class PolicyKind(Protocol):
    """A class with these four is a kind; it is chosen by `name`, never instantiated by the gateway itself."""

    name: ClassVar[str]
    Settings: ClassVar[Any]
    phases: ClassVar[Any]  # a frozenset[Phase], or a function that gives one for the settings

    @staticmethod
    def build(settings: Any, ports: Ports) -> Policy:
        """Called once per route and reload, never per request. A ValueError becomes an error of the file."""


def phases_of(kind: type[PolicyKind], settings: object) -> frozenset[Phase]:
    """What one use of a kind needs to see."""
    declared = kind.phases(settings) if callable(kind.phases) else kind.phases
    return frozenset(declared)


class Authenticator(Protocol):
    """One way of saying who is asking.

    One that reads query parameters has an attribute `credential_query` besides: their names, as `credential_headers`
    are those of headers.
    """

    @property
    def name(self) -> str: ...

    @property
    def challenge(self) -> str:
        """The WWW-Authenticate challenge (RFC 9110 §11.6.1) that tells a caller how to ask again."""

    @property
    def credential_headers(self) -> Sequence[str]:
        """The headers that carry the credential; they are removed before the upstream."""

    def presents(self, request: Request) -> bool:
        """Whether the request carries a credential of this sort, good or bad."""

    async def authenticate(self, request: Request) -> Consumer | LocalReply:
        """Who that credential stands for, or why it is refused. Only called where `presents` is true."""


def needs_no_credential(method: Authenticator) -> bool:
    """Whether it vouches for whoever brings no credential at all. Such a method says `anonymous = True` of itself; one
    that says nothing, as most do, is only asked about credentials that it reads."""
    return getattr(method, "anonymous", False) is True


@runtime_checkable
class Inviting(Protocol):
    """An authenticator that has something better to say than 401 to whoever brings no credential at all."""

    async def invite(self, request: Request) -> LocalReply | None:
        """What to answer; None where it has nothing to say to this one."""


def cookies_of(method: Authenticator) -> tuple[str, ...]:
    """The cookies that carry a method's credential, for one that has any: `credential_cookies`. One with `*` at its end
    stands for all that begin so."""
    return tuple(getattr(method, "credential_cookies", ()))


def credential_query(method: Authenticator) -> tuple[str, ...]:
    """The query parameters that carry the credential; most methods read none, and say nothing of them."""
    return tuple(getattr(method, "credential_query", ()))


class AuthenticatorKind(Protocol):
    """As PolicyKind, for the `authentication` block: `NAME: {KIND: settings}`."""

    name: ClassVar[str]
    Settings: ClassVar[Any]

    @staticmethod
    def build(name: str, settings: Any, ports: Ports) -> Authenticator: ...

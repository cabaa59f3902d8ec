"""Runs one route's policies in order and merges what they say. The only place where policies are called."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from extproc.core.decision import NO_EDITS, Continue, Decision, HeaderEdits, LocalReply
from extproc.core.errors import CouldNotDecide, InvalidMutation, PolicyFailed
from extproc.core.message import Consumer, Request, Response
from extproc.core.policy import Context, Policy
from extproc.core.ports import Clock


@dataclass(frozen=True, slots=True)
class Link:
    """One policy in its place. `authenticates` is true for the one that may name the consumer."""

    name: str
    policy: Policy
    authenticates: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy said, and how long it took (nanoseconds). None: it said nothing that may be acted on."""

    policy: str
    decision: Decision | None
    duration: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The merged decision of a chain, with the way to it."""

    decision: Decision
    consumer: Consumer | None = None
    steps: tuple[Step, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended_by(self) -> str:
        """The policy that refused or failed; empty where none did."""
        return self.steps[-1].policy if self.steps and not isinstance(self.steps[-1].decision, Continue) else ""


def note(error: BaseException, so_far: Outcome) -> None:
    """On the error itself, of whatever class: "no decision" stays an exception, which nobody takes for an answer."""
    error.__dict__[_SO_FAR] = so_far


def reached(error: BaseException) -> Outcome | None:
    """How far a chain had come when this error ended it, or the error that this one was raised from."""
    for one in (error, error.__cause__):
        if one is not None and _SO_FAR in one.__dict__:
            so_far: Outcome = one.__dict__[_SO_FAR]
            return so_far
    return None


_SO_FAR: Final = "extproc_so_far"
Ask = Callable[[Link, Outcome], Awaitable[Decision]]


@dataclass(frozen=True, slots=True)
class PolicyChain:
    """A route's policies. `upstreams` are the ones that a policy may choose; empty where the route is fixed.

    `matched` are the request headers that some route matches on. Envoy may look the route up again after ext_authz, so
    a policy that edited one of them could move a request to a route that asks for less.
    """

    route: str
    links: tuple[Link, ...]
    clock: Clock
    response_links: tuple[Link, ...] = ()
    upstreams: frozenset[str] = frozenset()
    matched: frozenset[str] = frozenset()

    async def on_request(self, request: Request) -> Outcome:
        """Raises CouldNotDecide where no policy's answer can be trusted."""

        def ask(link: Link, so_far: Outcome) -> Awaitable[Decision]:
            return link.policy.on_request(request, Context(self.route, so_far.consumer))

        outcome = await self._run(self.links, ask, Outcome(Continue()))
        if self.upstreams and isinstance(outcome.decision, Continue) and outcome.decision.upstream is None:
            error = PolicyFailed("no policy chose an upstream for a route that leaves it open")
            note(error, outcome)
            raise error
        return outcome

    async def on_response(self, response: Response, request: Request, consumer: Consumer | None) -> Outcome:
        """The last policy sees the response first, as in a stack of middleware. Raises CouldNotDecide."""

        def ask(link: Link, so_far: Outcome) -> Awaitable[Decision]:
            body = so_far.decision.body if isinstance(so_far.decision, Continue) else None
            shown = response if body is None else replace(response, body=body)
            return link.policy.on_response(shown, request, Context(self.route, consumer))

        return await self._run(self.response_links[::-1], ask, Outcome(Continue(), consumer))

    async def _run(self, links: Sequence[Link], ask: Ask, outcome: Outcome) -> Outcome:
        for link in links:
            started = self.clock.monotonic()
            try:
                decision = await _answer(link, ask, outcome)
                self._check(link, decision)
                outcome = _merge(outcome, decision, Step(link.name, decision, self.clock.monotonic() - started))
            except BaseException as error:  # a cancelled call is to tell which policy it waited for, too
                failed = Step(link.name, None, self.clock.monotonic() - started)
                note(error, replace(outcome, steps=(*outcome.steps, failed)))
                raise
            if isinstance(decision, LocalReply):
                break
        return outcome

    def _check(self, link: Link, decision: Decision) -> None:
        if not isinstance(decision, Continue):
            return
        if decision.consumer is not None and not link.authenticates:
            raise InvalidMutation(f"policy {link.name!r} may not name the consumer")
        if decision.upstream is not None and decision.upstream not in self.upstreams:
            raise InvalidMutation(f"policy {link.name!r} chose {decision.upstream!r}, which the route does not offer")
        edited = {name for name, _ in decision.request.set} | set(decision.request.remove)
        if edited & self.matched:
            raise InvalidMutation(f"policy {link.name!r} edits {min(edited & self.matched)!r}, which routes match on")


async def _answer(link: Link, ask: Ask, so_far: Outcome) -> Decision:
    try:
        decision = await ask(link, so_far)  # the call itself may raise, where a policy's method is no coroutine
    except CouldNotDecide:
        raise
    except (Exception, SystemExit) as error:  # whatever a policy raises is a deny, and never ends the process
        raise PolicyFailed(f"policy {link.name!r} raised {type(error).__name__}") from error
    if not isinstance(decision, Continue | LocalReply):
        raise PolicyFailed(f"policy {link.name!r} answered {type(decision).__name__}, not a decision")
    return decision


def _merge(outcome: Outcome, decision: Decision, step: Step) -> Outcome:
    so_far = outcome.decision if isinstance(outcome.decision, Continue) else Continue()
    steps = (*outcome.steps, step)
    facts = {**outcome.facts, **decision.facts}
    if isinstance(decision, LocalReply):
        # A refusal by a later policy still tells what the earlier ones promised the client: RateLimit, for one.
        named = {name for name, _ in decision.headers}
        promised = tuple((name, value) for name, value in so_far.response.set if name not in named)
        return Outcome(replace(decision, headers=decision.headers + promised), outcome.consumer, steps, facts)
    merged = Continue(
        request=_then(so_far.request, decision.request),
        response=_then(so_far.response, decision.response),
        body=decision.body if decision.body is not None else so_far.body,
        upstream=decision.upstream or so_far.upstream,
    )
    return Outcome(merged, decision.consumer or outcome.consumer, steps, facts)


def _then(earlier: HeaderEdits, later: HeaderEdits) -> HeaderEdits:
    return earlier.then(later) if earlier is not NO_EDITS else later

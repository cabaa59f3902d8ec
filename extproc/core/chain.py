"""Runs one route's policies in order. The only place where policies are called."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from extproc.core.decision import CONTINUE, NO_EDITS, Continue, LocalReply
from extproc.core.errors import CouldNotDecide, InvalidMutation, PolicyFailed
from extproc.core.message import Chosen, Consumer, Request, Response
from extproc.core.outcome import Judgement, Merged, Outcome, Step
from extproc.core.own_answers import OwnAnswer, OwnStream
from extproc.core.policy import Context, Policy
from extproc.core.ports import Clock
from extproc.core.processing import DEFAULT_RESPONSE_LIMIT, MAX_SHOWN
from extproc.core.reservation import Reservation
from extproc.core.streams import BodyEditor, Editors


@dataclass(frozen=True, slots=True)
class Link:
    """One policy in its place. `authenticates` is true for the one that may name the consumer, `answers` for the one
    that may answer in place of an upstream, on a request's way there, `chooses` for the one that knows a model's
    versions."""

    name: str
    policy: Policy
    authenticates: bool = False
    answers: bool = False
    chooses: bool = False


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


@dataclass(frozen=True, slots=True)
class PolicyChain:
    """A route's policies. `upstreams` are the ones that a policy may choose; empty where the route is fixed.

    `matched` are the request headers that some route matches on, `matched_query` the query parameters. Envoy may look
    the route up again after ext_authz, so a policy that edited one of them could move a request to a route that asks
    for less.
    """

    route: str
    links: tuple[Link, ...]
    clock: Clock
    response_links: tuple[Link, ...] = ()
    upstreams: frozenset[str] = frozenset()
    matched: frozenset[str] = frozenset()
    matched_query: frozenset[str] = frozenset()
    forward_links: tuple[Link, ...] = ()
    stream_links: tuple[Link, ...] = ()
    request_limit: int = MAX_SHOWN
    response_limit: int = DEFAULT_RESPONSE_LIMIT

    def on_request(self, request: Request) -> Awaitable[Outcome]:
        """Raises CouldNotDecide where no policy's answer can be trusted."""
        return self._run(self.links, Merged(), request)

    def on_forward(
        self, request: Request, consumer: Consumer | None, reservation: Reservation | None = None
    ) -> Awaitable[Outcome]:
        """What was let in, on its way to the upstream. Each policy sees what those before made of it."""
        return self._run(self.forward_links, Merged(consumer), request, forward=True, reservation=reservation)

    def on_response(
        self, response: Response, request: Request, consumer: Consumer | None, reservation: Reservation | None = None
    ) -> Awaitable[Outcome]:
        """The last policy sees the response first, as in a stack of middleware. Raises CouldNotDecide."""
        return self._run(self.response_links[::-1], Merged(consumer), request, response, reservation=reservation)

    async def on_stream(
        self,
        response: Response,
        request: Request,
        consumer: Consumer | None,
        reservation: Reservation | None = None,
        chosen: Chosen | None = None,
    ) -> BodyEditor | None:
        """Who edits the answer's body as it passes: the last policy first, as for answers. Raises CouldNotDecide."""
        editors, context = list[BodyEditor](), Context(self.route, consumer, self.response_limit, reservation, chosen)
        for link in self.stream_links[::-1]:
            try:
                editor = await link.policy.on_stream(response, request, context)
            except BaseException as error:
                failed = _failed(link, error)
                if failed is error:
                    raise
                raise failed from error
            if editor is None:
                continue
            if not isinstance(editor, BodyEditor):
                raise PolicyFailed(f"policy {link.name!r} gave {type(editor).__name__}, which edits no body")
            editors.append(editor)
        return Editors(editors) if len(editors) > 1 else editors[0] if editors else None

    async def _run(
        self,
        links: Sequence[Link],
        merged: Merged,
        request: Request,
        response: Response | None = None,
        *,
        forward: bool = False,
        reservation: Reservation | None = None,
    ) -> Outcome:
        """Every policy is asked and timed here, in one frame: calls between would cost as much as a quick policy."""
        monotonic = self.clock.monotonic
        limit = self.request_limit if response is None else self.response_limit
        context = Context(self.route, merged.consumer, limit, reservation)
        now = monotonic()
        for link in links:
            started = now
            try:  # the call itself may raise, where a policy's method is no coroutine
                decision: Judgement
                if forward:
                    decision = await link.policy.on_forward(_rewritten(request, merged), context)
                elif response is None:
                    decision = await link.policy.on_request(request, context)
                else:
                    decision = await link.policy.on_response(_shown(response, merged.body), request, context)
                if decision is not CONTINUE:
                    self._check(link, decision, forward=forward)
                    merged.add(decision)
                    if merged.consumer is not context.consumer:
                        context = context._replace(consumer=merged.consumer)
            except BaseException as error:  # a cancelled call is to tell which policy it waited for, too
                merged.steps.append(Step(link.name, None, monotonic() - started))
                failed = _failed(link, error)
                note(failed, merged.outcome())
                if failed is error:
                    raise
                raise failed from error
            now = monotonic()
            merged.steps.append(Step(link.name, decision, now - started))
            if merged.reply is not None:
                break
        outcome = merged.outcome()
        asked = response is None and not forward
        if asked and self.upstreams and merged.reply is None and merged.upstream is None:
            unchosen = PolicyFailed("no policy chose an upstream for a route that leaves it open")
            note(unchosen, outcome)
            raise unchosen
        return outcome

    def _check(self, link: Link, decision: Judgement, *, forward: bool) -> None:
        if isinstance(decision, LocalReply):
            return
        if isinstance(decision, OwnAnswer | OwnStream) and link.answers and forward:
            return
        if not isinstance(decision, Continue):
            raise PolicyFailed(f"policy {link.name!r} answered {type(decision).__name__}, not a decision")
        self._check_place(link, decision, forward=forward)
        if decision.remove_query and not self.matched_query.isdisjoint(decision.remove_query):
            taken = min(self.matched_query.intersection(decision.remove_query))
            raise InvalidMutation(f"policy {link.name!r} removes the parameter {taken!r}, which routes match on")
        if decision.request is NO_EDITS or not self.matched:
            return
        edited = {name for name, _ in decision.request.set} | set(decision.request.remove)
        if edited & self.matched:
            raise InvalidMutation(f"policy {link.name!r} edits {min(edited & self.matched)!r}, which routes match on")

    def _check_place(self, link: Link, decision: Continue, *, forward: bool) -> None:
        """What only some may say, and only at their time."""
        if decision.rewrite is not None and not forward:
            raise InvalidMutation(f"policy {link.name!r} rewrites what is not on its way to the upstream")
        if decision.consumer is not None and not link.authenticates:
            raise InvalidMutation(f"policy {link.name!r} may not name the consumer")
        if decision.upstream is not None and decision.upstream not in self.upstreams:
            raise InvalidMutation(f"policy {link.name!r} chose {decision.upstream!r}, which the route does not offer")
        if (decision.cluster or decision.shadow or decision.compared) and not link.chooses:
            raise InvalidMutation(f"policy {link.name!r} may not name a cluster or a shadow")


def _shown(response: Response, body: bytes | None) -> Response:
    """With the body that the policies before have made of it."""
    return response if body is None else replace(response, body=body)


def _rewritten(request: Request, merged: Merged) -> Request:
    shown = request if merged.body is None else replace(request, body=merged.body)
    return merged.rewrite.applied(shown) if merged.rewrite else shown


def _failed(link: Link, error: BaseException) -> BaseException:
    """Whatever a policy raises is a deny, and never ends the process; a cancelled call stays one."""
    if isinstance(error, CouldNotDecide) or not isinstance(error, Exception | SystemExit):
        return error
    return PolicyFailed(f"policy {link.name!r} raised {type(error).__name__}")

"""What the policies of a chain have said so far, merged: the later one wins where two name the same thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from extproc.core.decision import CONTINUE, NO_EDITS, Continue, Decision, HeaderEdits, LocalReply
from extproc.core.limits import Judged, Settlement
from extproc.core.message import Consumer
from extproc.core.own_answers import OwnAnswer, OwnStream
from extproc.core.quick import quick
from extproc.core.rewrite import Rewrite

Judgement = Decision | OwnAnswer | OwnStream
Reply = LocalReply | OwnAnswer | OwnStream


class Step(NamedTuple):
    """What one policy said, and how long it took (nanoseconds). None: it said nothing that may be acted on."""

    policy: str
    decision: Judgement | None
    duration: int


@quick
@dataclass(frozen=True, slots=True)
class Outcome:
    """The merged decision of a chain, with the way to it."""

    decision: Judgement
    consumer: Consumer | None = None
    steps: tuple[Step, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    held: tuple[Settlement, ...] = field(default=(), repr=False)
    judged: Judged | None = field(default=None, repr=False)

    @property
    def ended_by(self) -> str:
        """The policy that refused or failed; empty where none did."""
        last = self.steps[-1] if self.steps else None
        return last.policy if last and (last.decision is None or isinstance(last.decision, LocalReply)) else ""


@dataclass(slots=True)
class Merged:
    """Changes as policies answer; an Outcome is made of it once, at the end of a chain."""

    consumer: Consumer | None = None
    request: HeaderEdits = NO_EDITS
    response: HeaderEdits = NO_EDITS
    body: bytes | None = None
    chosen: Continue = CONTINUE  # the one that chose the upstream
    reply: Reply | None = None
    steps: list[Step] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    remove_query: tuple[str, ...] = ()
    held: tuple[Settlement, ...] = ()
    judged: Judged | None = None
    rewrite: Rewrite | None = None

    @property
    def upstream(self) -> str | None:
        return self.chosen.upstream

    def add(self, decision: Judgement) -> None:
        """Raises InvalidMutation where two sets of edits are too much together."""
        if not isinstance(decision, Continue):
            self.reply = self._promised(decision)
        else:
            if decision.request is not NO_EDITS:
                self.request = self.request.then(decision.request)
            if decision.response is not NO_EDITS:
                self.response = self.response.then(decision.response)
            if decision.body is not None:
                self.body = decision.body
            self.chosen = self.chosen if decision.upstream is None else decision
            self.consumer = decision.consumer or self.consumer
            if decision.held:
                self.held += decision.held
            if decision.remove_query:
                self.remove_query = tuple(dict.fromkeys(self.remove_query + decision.remove_query))
            if decision.rewrite is not None:
                self.rewrite = self.rewrite.then(decision.rewrite) if self.rewrite else decision.rewrite
        if isinstance(decision, Continue | LocalReply) and decision.judged is not None:
            self.judged = decision.judged
        if decision.facts:
            self.facts.update(decision.facts)

    def outcome(self) -> Outcome:
        chosen = self.chosen
        continued = Continue(
            self.request, self.response, self.body, None, chosen.upstream,
            remove_query=self.remove_query, rewrite=self.rewrite, cluster=chosen.cluster, shadow=chosen.shadow,
            compared=chosen.compared,
        )  # fmt: skip
        return Outcome(self.reply or continued, self.consumer, tuple(self.steps), self.facts, self.held, self.judged)

    def _promised(self, reply: Reply) -> Reply:
        """A refusal by a later policy still tells what the earlier ones promised the client: RateLimit, for one."""
        named = {name for name, _ in reply.headers}
        promised = tuple((name, value) for name, value in self.response.set if name not in named)
        return replace(reply, headers=reply.headers + promised) if promised else reply

"""`model:` of a route: which version answers, the same one for the same caller."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import ClassVar, Final

from extproc import (
    MODEL_VERSION,
    ChooseSpec,
    Context,
    Continue,
    CouldNotDecide,
    Decision,
    HeaderEdits,
    Phase,
    Policy,
    Ports,
    Request,
    Shares,
    ShareTable,
    Version,
    choose,
)

REMEMBERED: Final = 4096  # consumers of one route; their names are short, while a header may be as long as one likes


class Draws:
    """What is decided for a subject, by the shares of now. What was drawn is remembered until these change: a draw
    depends on its subject and on them alone."""

    def __init__(self, spec: ChooseSpec, shares: ShareTable) -> None:
        self._spec = spec
        self._shares = shares
        self._decisions = {version.name: _chosen(spec.model, version) for version in spec.versions}
        self._generation: int | None = None
        self._draw_by(None)

    def of(self, subject: str) -> Continue:
        self._follow()
        return self._drawn(subject)

    def of_consumer(self, consumer: str) -> Continue:
        self._follow()
        return self._remembered(consumer)

    def _follow(self) -> None:
        shares = self._shares.of(self._spec.model)
        if (shares and shares.generation) != self._generation:
            self._draw_by(shares)

    def _draw_by(self, shares: Shares | None) -> None:
        versions = shares.applied_to(self._spec.versions) if shares else self._spec.versions

        def drawn(subject: str) -> Continue:
            return self._decisions[choose(self._spec.model, versions, subject).name]

        self._generation = shares.generation if shares else None
        self._drawn = drawn
        self._remembered = functools.lru_cache(REMEMBERED)(drawn)


@dataclass(frozen=True, slots=True)
class Choose(Policy):
    """Draws a version, by whatever the choice sticks to."""

    spec: ChooseSpec
    draws: Draws

    name: ClassVar[str] = "choose"
    Settings: ClassVar[type[ChooseSpec]] = ChooseSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: ChooseSpec, ports: Ports) -> Policy:
        return Choose(settings, Draws(settings, ports.shares))

    async def on_request(self, request: Request, context: Context) -> Decision:
        if self.spec.sticky != "consumer":
            return self.draws.of(self._subject(request))
        if context.consumer is None:
            raise CouldNotDecide("sticky by consumer, and nobody is known to be asking")
        # Those without a name are told apart by where they are, or they would all get one version.
        return self.draws.of_consumer(request.address if context.consumer.anonymous else context.consumer.id)

    def _subject(self, request: Request) -> str:
        """What the choice sticks to. Envoy's stream id is random, and so is a choice that sticks to it."""
        if self.spec.sticky == "none":
            return request.stream
        value = request.headers.get(self.spec.sticky.removeprefix("header:"))
        return request.stream if value is None else value


def _chosen(model: str, version: Version) -> Continue:
    answered = HeaderEdits(set=((MODEL_VERSION, version.name),))
    return Continue(response=answered, upstream=version.upstream, facts={"model": model, "version": version.name})

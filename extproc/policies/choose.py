"""`model:` of a route: which version answers, the same one for the same caller."""

from __future__ import annotations

import functools
from collections.abc import Callable
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
    Version,
    choose,
)

REMEMBERED: Final = 4096  # consumers of one route; their names are short, while a header may be as long as one likes


@dataclass(frozen=True, slots=True)
class Choose(Policy):
    """`drawn` says what is decided for a subject; `of_consumer` is the same, and remembers it: a draw depends on its
    subject alone."""

    spec: ChooseSpec
    drawn: Callable[[str], Continue]
    of_consumer: Callable[[str], Continue]

    name: ClassVar[str] = "choose"
    Settings: ClassVar[type[ChooseSpec]] = ChooseSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: ChooseSpec, ports: Ports) -> Policy:
        decisions = {version.name: _chosen(version) for version in settings.versions}

        def drawn(subject: str) -> Continue:
            return decisions[choose(settings.model, settings.versions, subject).name]

        return Choose(settings, drawn, functools.lru_cache(REMEMBERED)(drawn))

    async def on_request(self, request: Request, context: Context) -> Decision:
        if self.spec.sticky != "consumer":
            return self.drawn(self._subject(request))
        if context.consumer is None:
            raise CouldNotDecide("sticky by consumer, and nobody is known to be asking")
        # Those without a name are told apart by where they are, or they would all get one version.
        return self.of_consumer(request.address if context.consumer.anonymous else context.consumer.id)

    def _subject(self, request: Request) -> str:
        """What the choice sticks to. Envoy's stream id is random, and so is a choice that sticks to it."""
        if self.spec.sticky == "none":
            return request.stream
        value = request.headers.get(self.spec.sticky.removeprefix("header:"))
        return request.stream if value is None else value


def _chosen(version: Version) -> Continue:
    answered = HeaderEdits(set=((MODEL_VERSION, version.name),))
    return Continue(response=answered, upstream=version.upstream, facts={"version": version.name})

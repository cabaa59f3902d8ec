"""`model:` of a route: which version answers, the same one for the same caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

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


@dataclass(frozen=True, slots=True)
class Choose(Policy):
    """`decisions` has one for each version, made once."""

    spec: ChooseSpec
    decisions: Mapping[str, Continue]

    name: ClassVar[str] = "choose"
    Settings: ClassVar[type[ChooseSpec]] = ChooseSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: ChooseSpec, ports: Ports) -> Policy:
        return Choose(settings, {version.name: _chosen(version) for version in settings.versions})

    async def on_request(self, request: Request, context: Context) -> Decision:
        version = choose(self.spec.model, self.spec.versions, self._subject(request, context))
        return self.decisions[version.name]

    def _subject(self, request: Request, context: Context) -> str:
        """What the choice sticks to. Envoy's stream id is random, and so is a choice that sticks to it."""
        if self.spec.sticky == "none":
            return request.stream
        if self.spec.sticky.startswith("header:"):
            value = request.headers.get(self.spec.sticky.removeprefix("header:"))
            return request.stream if value is None else value
        if context.consumer is None:
            raise CouldNotDecide("sticky by consumer, and nobody is known to be asking")
        # Those without a name are told apart by where they are, or they would all get one version.
        return request.address if context.consumer.anonymous else context.consumer.id


def _chosen(version: Version) -> Continue:
    answered = HeaderEdits(set=((MODEL_VERSION, version.name),))
    return Continue(response=answered, upstream=version.upstream, facts={"version": version.name})

"""The policy: a request's model, a version of that model, and what Envoy is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from extproc import Context, Decision, LocalReply, ModelsSpec, NamedBy, Phase, Policy, Ports, Request

from .answering import Answers
from .naming import Naming
from .picking import Picker, VersionPicker


@dataclass(frozen=True, slots=True)
class Model:
    picker: Picker
    answers: Answers

    def decide(self, request: Request, context: Context) -> Decision:
        pick = self.picker.pick(request, context)
        return pick if isinstance(pick, LocalReply) else self.answers.of(pick)


@dataclass(frozen=True, slots=True)
class Choose(Policy):
    """`only` is the model of a route that leads to one whatever is asked."""

    only: Model | None
    naming: Naming[Model]

    name: ClassVar[str] = "choose"
    Settings: ClassVar[type[ModelsSpec]] = ModelsSpec
    phases: ClassVar[frozenset[Phase]] = frozenset({Phase.REQUEST})

    @staticmethod
    def build(settings: ModelsSpec, ports: Ports) -> Policy:
        named: dict[str, Model] = {}
        for spec in settings.models:
            model = Model(VersionPicker.build(spec, ports), Answers(spec, ports.chance))
            named |= dict.fromkeys((spec.model, *spec.aliases), model)
        only = named[settings.models[0].model] if settings.named_by is NamedBy.ROUTE else None
        return Choose(only, Naming(settings, named))

    async def on_request(self, request: Request, context: Context) -> Decision:
        model = self.only or self.naming.of(request)
        return model if isinstance(model, LocalReply) else model.decide(request, context)

"""Which version: pinned by the caller, by a rule of the operator's, or drawn. The first that has a say decides.

`Picker` is all that the policy knows of it: a split that Envoy makes by itself would be another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

from extproc import (
    ChooseSpec,
    Consumer,
    Context,
    Expression,
    LocalReply,
    Pin,
    Ports,
    Request,
    Version,
    is_in_tiers,
    refusal,
    variables,
)

from .drawing import Draws
from .subjects import Subjects

PINNED: Final = "pin"
NOT_ALLOWED: Final = refusal(403, "model_not_allowed", "the caller's tier may not use this model")
NONE_ALLOWED: Final = refusal(403, "version_not_allowed", "the caller's tier may not use any version that answers now")
ANOTHERS: Final = refusal(403, "version_not_allowed", "the caller's tier may not use this version")
UNKNOWN: Final = refusal(400, "unknown_version", "the model has no version of this name")


class Pick(NamedTuple):
    """`why` is `pin`, `rules[N]`, `chance`, or what the draw stuck to. `cookie` is one to be set, whole."""

    version: str
    why: str
    cookie: str = ""


class Picker(Protocol):
    def pick(self, request: Request, context: Context) -> Pick | LocalReply:
        """Raises CouldNotDecide."""


class Rule(NamedTuple):
    condition: Expression
    version: Version
    pick: Pick


@dataclass(frozen=True, slots=True)
class VersionPicker:
    spec: ChooseSpec
    versions: Mapping[str, Version]
    rules: Sequence[Rule]
    subjects: Subjects
    draws: Draws

    @classmethod
    def build(cls, spec: ChooseSpec, ports: Ports) -> Self:
        versions = {version.name: version for version in spec.versions}
        rules = tuple(
            Rule(ports.expression(rule.when), versions[rule.version], Pick(rule.version, f"rules[{index}]"))
            for index, rule in enumerate(spec.rules)
        )
        return cls(spec, versions, rules, Subjects.by(spec.sticky), Draws(spec, ports.shares))

    def pick(self, request: Request, context: Context) -> Pick | LocalReply:
        spec, consumer = self.spec, context.consumer
        if spec.tiers and not is_in_tiers(consumer, spec.tiers):
            return NOT_ALLOWED
        if spec.pin is not None:
            pinned = self._pinned(spec.pin, request, consumer)
            if pinned is not None:
                return pinned
        if self.rules:
            ruled = self._ruled(request, context)
            if ruled is not None:
                return ruled
        subject, why, few, cookie = self.subjects.of(request, consumer)
        version = self.draws.of(subject, consumer, remembered=few)
        return NONE_ALLOWED if version is None else Pick(version, why, cookie)

    def _pinned(self, pin: Pin, request: Request, consumer: Consumer | None) -> Pick | LocalReply | None:
        """Whoever may not pin is drawn for as anybody is. Who may, and names what is not there, must not be taken to
        have been answered by it."""
        named = request.headers.all(pin.header)
        if not named or not is_in_tiers(consumer, pin.tiers):
            return None
        version = self.versions.get(named[0]) if len(named) == 1 else None
        if version is None:
            return UNKNOWN
        return Pick(version.name, PINNED) if is_in_tiers(consumer, version.tiers) else ANOTHERS

    def _ruled(self, request: Request, context: Context) -> Pick | None:
        """The first that holds. One that leads to a version which is not for this caller has nothing to say."""
        seen = variables(request, context.route, context.consumer)
        for condition, version, pick in self.rules:
            if is_in_tiers(context.consumer, version.tiers) and condition.holds(seen):
                return pick
        return None

"""What Envoy is told: where the request goes, what stands by, who gets a copy, and what the client hears of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from extproc import MODEL_VERSION, ChooseSpec, Continue, HeaderEdits, model_cluster

from .picking import Pick

MODEL: Final = "model"
VERSION: Final = "version"
CHOSEN_BY: Final = "chosen_by"
SHADOW: Final = "shadow"
SET_COOKIE: Final = "set-cookie"
WHOLE: Final = 10_000  # hundredths of a percent


class Answers:
    """Of one model. There are few versions and few reasons, so each decision is made once."""

    def __init__(self, spec: ChooseSpec, chance: Callable[[], float]) -> None:
        self._spec = spec
        self._chance = chance
        self._shadowed = spec.shadow.share / WHOLE if spec.shadow else 0.0
        self._compares = spec.shadow is not None and spec.shadow.compare is not None
        self._made: dict[tuple[str, str, bool], Continue] = {}

    def of(self, pick: Pick) -> Continue:
        key = (pick.version, pick.why, self._is_shadowed(pick.version))
        decision = self._made.get(key)
        if decision is None:
            decision = self._made[key] = self._decision(*key)
        return decision if not pick.cookie else _with_cookie(decision, pick.cookie)

    def _is_shadowed(self, version: str) -> bool:
        """Who is answered by that version anyway has nothing to compare it with."""
        shadow = self._spec.shadow
        return shadow is not None and version != shadow.version and self._chance() < self._shadowed

    def _decision(self, name: str, why: str, shadowed: bool) -> Continue:
        spec = self._spec
        copied = spec.shadow.version if spec.shadow and shadowed else ""
        # Who answered is known to Envoy alone where another version may stand in.
        answered = HeaderEdits() if spec.fallback else HeaderEdits(set=((MODEL_VERSION, name),))
        return Continue(
            response=answered,
            upstream=spec.version(name).upstream,
            facts={MODEL: spec.model, VERSION: name, CHOSEN_BY: why, **({SHADOW: copied} if copied else {})},
            cluster=model_cluster(spec.model, name) if spec.fallback else "",
            shadow=spec.model if copied and not self._compares else "",
            compared=spec.model if copied and self._compares else "",
        )


def _with_cookie(decision: Continue, cookie: str) -> Continue:
    return replace(decision, response=HeaderEdits(set=(*decision.response.set, (SET_COOKIE, cookie))))

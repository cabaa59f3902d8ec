"""Which shares are in force here: what is kept for all sidecars, followed, and made known to whoever chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from extproc.app.observing import Harmless
from extproc.core.errors import StoreUnavailable
from extproc.core.ports import Clock, Events
from extproc.core.rollout import Change, Rollout, Rules, fits, knows
from extproc.core.rollout_changes import planned
from extproc.core.shares import Shares
from extproc.core.specs import HUNDREDTHS
from extproc.stores.rollout_entry import RolloutStore

CHANGED: Final = "rollout_changed"
RESTORED: Final = "rollout_restored"
Told = dict[str, Any]


class Measuring(Protocol):
    """Hears what becomes of rollouts. Must return at once."""

    def stepped(self, model: str, steps: int) -> None: ...

    def looked(self, model: str) -> None: ...

    def changed(self, model: str, what: str) -> None: ...

    def leads(self, leads: bool) -> None: ...


class Measured:
    """What measuring raises changes nothing."""

    def __init__(self, harmless: Harmless, measuring: Measuring) -> None:
        self.stepped = harmless(measuring.stepped)
        self.looked = harmless(measuring.looked)
        self.changed = harmless(measuring.changed)
        self.leads = harmless(measuring.leads)


class MovingShares:
    """The table that choices are made by. It is there before whoever moves it: until then, the file says."""

    def __init__(self) -> None:
        self._shares: dict[str, Shares] = {}

    def of(self, model: str) -> Shares | None:
        return self._shares.get(model)

    def put(self, model: str, shares: Shares | None) -> None:
        if shares is None:
            self._shares.pop(model, None)
        else:
            self._shares[model] = shares


class RolloutTable:
    """The state of each model, as far as this sidecar knows. Of two files, the one whose sidecar started last rules."""

    def __init__(
        self,
        rules: Mapping[str, Rules],
        shares: MovingShares,
        store: RolloutStore,
        clock: Clock,
        events: Events,
        measuring: Measuring,
    ) -> None:
        self.rules = rules
        self.store = store
        self.clock = clock
        self._shares = shares
        self._events = events
        self._measuring = measuring
        self._rollouts: dict[str, Rollout] = {}
        self._started = clock.now()

    def of(self, model: str) -> Rollout:
        return self._rollouts[model]

    def fits(self) -> bool:
        """Whether it is this sidecar's file that is in force, for all models."""
        return all(fits(rules, self._rollouts[model]) for model, rules in self.rules.items())

    async def begin(self) -> None:
        """What another file said before takes effect as this one says. Raises StoreUnavailable; then it begins anew."""
        found = await self.store.read()
        for rules in self.rules.values():
            await self._apply(rules, found.get(rules.model))

    async def follow(self) -> None:
        """Raises StoreUnavailable; what is in force stays in force."""
        found = await self.store.read()
        for model in self.rules:
            kept, known = found.get(model), self._rollouts[model]
            if kept is None or kept.generation < known.generation:
                await self._restore(known, kept.generation if kept else 0)
            elif kept != known:
                self._adopt(kept)

    async def change(self, rollout: Rollout, change: Change, expected: int, *, leading: bool) -> bool:
        """In force here as soon as it is kept. False: somebody was quicker. Raises StoreUnavailable."""
        done = await self.store.change(rollout, change, expected, leading=leading)
        if done:
            self._adopt(rollout)
            self._measuring.changed(change.model, change.what.value)
            self._events.event(CHANGED, **change_told(change))
        return done

    async def _apply(self, rules: Rules, kept: Rollout | None) -> None:
        """Once, when this process starts. A sidecar that started later with another file has been heard already."""
        if kept is not None and (fits(rules, kept) or kept.applied > self._started):
            self._adopt(kept)
            return
        rollout, change = planned(rules, kept, self.clock.now())
        if not await self.change(rollout, change, kept.generation if kept else 0, leading=False):
            raise StoreUnavailable("rollouts: others change it at this moment")

    async def _restore(self, known: Rollout, expected: int) -> None:
        """The store was emptied, or has forgotten what it said: what is in force stays in force."""
        if await self.store.change(known, None, expected, leading=False):
            self._events.event(RESTORED, model=known.model, generation=known.generation)

    def _adopt(self, rollout: Rollout) -> None:
        """Where another file has other versions, this one's own weights are in force here: it has no others."""
        rules = self.rules[rollout.model]
        self._rollouts[rollout.model] = rollout
        self._shares.put(rollout.model, rollout.in_force if knows(rules, rollout) else None)
        steps = sum(step <= rollout.share for step in rules.ramp.steps) if rules.ramp else 0
        self._measuring.stepped(rollout.model, steps)


def percent(shares: Mapping[str, int]) -> dict[str, float]:
    return {name: share / HUNDREDTHS for name, share in shares.items()}


def change_told(change: Change) -> Told:
    return {
        "at": round(change.at, 3),
        "model": change.model,
        "generation": change.generation,
        "what": change.what.value,
        "by": change.by,
        "reason": change.reason,
        "before": percent(change.before),
        "after": percent(change.after),
        "status": change.status.value,
        "evidence": dict(change.evidence),
    }

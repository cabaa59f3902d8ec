"""What operators ask of rollouts, of whichever sidecar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from extproc.admin.rollouts import UnknownModel
from extproc.app.rollout_looks import Witness, seen_in
from extproc.app.rollout_table import RolloutTable, Told, change_told, percent
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Series
from extproc.core.guard import By, Trial, certainty, figures
from extproc.core.ramp import needed, trial_of, waits_for
from extproc.core.rollout import Rollout, RolloutConflict, Rules, fits
from extproc.core.rollout_wishes import Wish, granted
from extproc.core.specs import HUNDREDTHS

TRIES: Final = 5  # of a change that others were quicker than
NO_MODEL: Final = "this gateway has no such model"


class OperatorsDesk:
    """Every method raises UnknownModel and StoreUnavailable. `leads` says whether this sidecar does."""

    def __init__(self, table: RolloutTable, witness: Witness, leads: Callable[[], bool]) -> None:
        self._table = table
        self._witness = witness
        self._leads = leads

    async def wish(self, model: str, wish: Wish) -> Told:
        """Raises RolloutConflict as well."""
        rules = self._named(model)
        for _ in range(TRIES):
            before = await self._kept(model)
            if wish.generation is not None and wish.generation != before.generation:
                said = f"{model} is at generation {before.generation}, not {wish.generation}: somebody changed it"
                raise RolloutConflict(said)
            after, change = granted(wish, rules, before, self._table.clock.now())
            if await self._table.change(after, change, before.generation, leading=False):
                return await self.told(model)
        raise StoreUnavailable("rollouts: others change it all the time")

    async def every(self) -> list[Told]:
        return [await self.told(model) for model in self._table.rules]

    async def told(self, model: str) -> Told:
        """All that there is to know of one model now."""
        rules = self._named(model)
        rollout, now = await self._kept(model), self._table.clock.now()
        trial = trial_of(rollout, await self._table.store.trial(model))
        window, step = await self._seen(rules, rollout, trial, now)
        return {
            **_state(rules, rollout),
            "waits": waits_for(rules, rollout, trial, step, now),
            "breached": trial.breached or None,
            "window_seconds": rules.guard.window if rules.guard else None,
            "versions": figures(window, rules.prices),
            "tests": certainty(trial),
            "guarded": rules.guard is not None,
            "same_file": fits(rules, rollout),
            "leading": self._leads(),
        }

    async def history(self, model: str) -> list[Told]:
        """The last changes first."""
        self._named(model)
        return [change_told(change) for change in await self._table.store.history(model)]

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        """Raises ValueError where it would be too long."""
        self._named(model)
        return await self._witness.series(model, since, until, step)

    def prices(self, model: str) -> Mapping[str, float]:
        return self._named(model).prices

    def _named(self, model: str) -> Rules:
        if model not in self._table.rules:
            raise UnknownModel(NO_MODEL)
        return self._table.rules[model]

    async def _kept(self, model: str) -> Rollout:
        kept = (await self._table.store.read()).get(model)
        if kept is None:
            raise StoreUnavailable("rollouts: nothing is kept of it yet")
        return kept

    async def _seen(self, rules: Rules, rollout: Rollout, trial: Trial, now: float) -> tuple[By, By]:
        """Nothing where nobody can say: an operator must be able to turn back what cannot be seen."""
        wanted = needed(rules, rollout, trial, now)
        try:
            window = await seen_in(self._witness, rules.model, wanted.window)
            return window, await seen_in(self._witness, rules.model, wanted.step)
        except StoreUnavailable:
            return {}, {}


def _state(rules: Rules, rollout: Rollout) -> Told:
    steps = rules.ramp.steps if rules.ramp else ()
    return {
        "model": rollout.model,
        "candidate": rollout.candidate,
        "status": rollout.status.value,
        "generation": rollout.generation,
        "shares": percent(rollout.shares),
        "steps": [step / HUNDREDTHS for step in steps],
        "next": next((step / HUNDREDTHS for step in steps if step > rollout.share), None),
        "begun": rollout.begun,
        "since": rollout.since,
    }

"""Rollouts, as a sidecar runs them: all follow what is kept, one leads, and operators are heard by any."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any, Final, Protocol

from extproc.admin.rollouts import UnknownModel
from extproc.app.observing import Harmless
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence, Series
from extproc.core.guard import Trial, certainty, figures
from extproc.core.ports import Clock, Events
from extproc.core.ramp import Looked, Seen, look, needed, trial_of, waits_for
from extproc.core.rollout import Change, Rollout, RolloutConflict, Rules, fits, knows, planned
from extproc.core.rollout_wishes import Wish, granted
from extproc.core.shares import Shares
from extproc.core.specs import HUNDREDTHS
from extproc.stores.rollout_entry import RolloutStore

POLL: Final = 0.5  # seconds: how late a sidecar follows
TRIES: Final = 5  # of a change that others were quicker than
CHANGED: Final = "rollout_changed"
LEADING: Final = "rollouts_led"
FOLLOWING: Final = "rollouts_followed"
ROLLOUTS_UNREAD: Final = "rollouts_cannot_be_read"
READ_AGAIN: Final = "rollouts_read_again"
BLIND: Final = "rollout_without_evidence"
SEEING: Final = "rollout_with_evidence"
RESTORED: Final = "rollout_restored"
NO_MODEL: Final = "this gateway has no such model"
Told = dict[str, Any]


class Witness(Protocol):
    """What versions did, as `EvidenceStore` tells it."""

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]: ...

    async def series(self, model: str, since: float, until: float, step: float) -> Series: ...


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


class Rollouts:
    """What moves the table of shares. Of two files, the one whose sidecar started last is in force."""

    def __init__(
        self,
        rules: Mapping[str, Rules],
        table: MovingShares,
        store: RolloutStore,
        evidence: Witness,
        clock: Clock,
        events: Events,
        measuring: Measuring,
    ) -> None:
        self._rules = rules
        self._table = table
        self._store = store
        self._evidence = evidence
        self._clock = clock
        self._events = events
        self._measuring = measuring
        self._rollouts: dict[str, Rollout] = {}
        self._trials: dict[str, Trial] = {}
        self._looked: dict[str, float] = {}
        self._blind: set[str] = set()
        self._leads = False
        self._unread = False
        self.in_force = asyncio.Event()  # set when it is known which shares are
        self._started = clock.now()

    def ready(self) -> bool:
        return self.in_force.is_set()

    @property
    def leads(self) -> bool:
        return self._leads

    async def begin(self) -> None:
        """Until it is known what is in force: a restart gives no version callers that it has lost. What another file
        said before takes effect as this one says."""
        while not self.in_force.is_set():
            try:
                found = await self._store.read()
                for rules in self._rules.values():
                    await self._apply(rules, found.get(rules.model))
                self.in_force.set()
            except StoreUnavailable as error:
                self._now_unread(unread=True, error=str(error))
                await asyncio.sleep(POLL)

    async def tend(self) -> None:
        """Runs until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._store.tend())
                await self.begin()
                while True:
                    await self.turn()
                    await asyncio.sleep(POLL)
        finally:
            await self.close()

    async def close(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # the lead ends by itself
            await self._store.close()

    async def turn(self) -> None:
        """Follow, and lead where nobody else does."""
        try:
            await self._follow()
            self._now_leading(leads=await self._take_the_lead())
            for model in self._rules if self._leads else ():
                await self._look_in_time(model)
            self._now_unread(unread=False)
        except StoreUnavailable as error:
            self._now_leading(leads=False)
            self._now_unread(unread=True, error=str(error))

    async def wish(self, model: str, wish: Wish) -> Told:
        """What an operator asks for. Raises UnknownModel, RolloutConflict, StoreUnavailable."""
        rules = self._named(model)
        for _ in range(TRIES):
            before = (await self._store.read()).get(model)
            if before is None:
                raise StoreUnavailable("rollouts: nothing is kept of it yet")
            if wish.generation is not None and wish.generation != before.generation:
                said = f"{model} is at generation {before.generation}, not {wish.generation}: somebody changed it"
                raise RolloutConflict(said)
            after, change = granted(wish, rules, before, self._clock.now())
            if await self._store.change(after, change, before.generation, leading=False):
                self._adopt(after)
                self._tell(change)
                return await self.told(model)
        raise StoreUnavailable("rollouts: others change it all the time")

    async def every(self) -> list[Told]:
        return [await self.told(model) for model in self._rules]

    async def told(self, model: str) -> Told:
        """All that there is to know of one model now. Raises UnknownModel, StoreUnavailable."""
        rules = self._named(model)
        rollout = (await self._store.read()).get(model)
        if rollout is None:
            raise StoreUnavailable("rollouts: nothing is kept of it yet")
        now = self._clock.now()
        trial = trial_of(rollout, await self._store.trial(model))
        wanted = needed(rules, rollout, trial, now)
        try:
            window, step = await self._of(model, *wanted.window), await self._of(model, *wanted.step)
        except StoreUnavailable:  # an operator must be able to turn back whatever cannot be seen
            window, step = {}, {}
        steps = rules.ramp.steps if rules.ramp else ()
        return {
            "model": model,
            "candidate": rollout.candidate,
            "status": rollout.status.value,
            "generation": rollout.generation,
            "shares": percent(rollout.shares),
            "steps": [each / HUNDREDTHS for each in steps],
            "next": next((each / HUNDREDTHS for each in steps if each > rollout.share), None),
            "waits": waits_for(rules, rollout, trial, step, now),
            "begun": rollout.begun,
            "since": rollout.since,
            "breached": trial.breached or None,
            "window_seconds": rules.guard.window if rules.guard else None,
            "versions": figures(window, rules.prices),
            "tests": certainty(trial),
            "guarded": rules.guard is not None,
            "same_file": fits(rules, rollout),
            "leading": self._leads,
        }

    async def history(self, model: str) -> list[Told]:
        """The last changes first. Raises UnknownModel, StoreUnavailable."""
        self._named(model)
        return [change_told(change) for change in await self._store.history(model)]

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        """Raises UnknownModel, StoreUnavailable, and ValueError where it would be too long."""
        self._named(model)
        return await self._evidence.series(model, since, until, step)

    def prices(self, model: str) -> Mapping[str, float]:
        return self._named(model).prices

    def _named(self, model: str) -> Rules:
        if model not in self._rules:
            raise UnknownModel(NO_MODEL)
        return self._rules[model]

    async def _apply(self, rules: Rules, kept: Rollout | None) -> None:
        """Once, when this process starts. A sidecar that started later with another file has been heard already."""
        if kept is not None and (fits(rules, kept) or kept.applied > self._started):
            self._adopt(kept)
            return
        rollout, change = planned(rules, kept, self._clock.now())
        if not await self._store.change(rollout, change, kept.generation if kept else 0, leading=False):
            raise StoreUnavailable("rollouts: others change it at this moment")
        self._adopt(rollout)
        self._tell(change)

    async def _follow(self) -> None:
        found = await self._store.read()
        for model in self._rules:
            kept, known = found.get(model), self._rollouts[model]
            if kept is None or kept.generation < known.generation:
                await self._restore(known, kept.generation if kept else 0)
            elif kept != known:
                self._adopt(kept)

    async def _restore(self, known: Rollout, expected: int) -> None:
        """The store was emptied, or has forgotten what it said: what is in force stays in force."""
        if await self._store.change(known, None, expected, leading=False):
            self._events.event(RESTORED, model=known.model, generation=known.generation)

    def _adopt(self, rollout: Rollout) -> None:
        """Where another file has other versions, this one's own weights are in force here: it has no others."""
        rules = self._rules[rollout.model]
        self._rollouts[rollout.model] = rollout
        self._table.put(rollout.model, rollout.in_force if knows(rules, rollout) else None)
        steps = sum(step <= rollout.share for step in rules.ramp.steps) if rules.ramp else 0
        self._measuring.stepped(rollout.model, steps)

    async def _take_the_lead(self) -> bool:
        """One whose file is not the last leaves it to those whose is: of the versions there it knows nothing."""
        if all(fits(rules, self._rollouts[model]) for model, rules in self._rules.items()):
            return await self._store.lead()
        await self._store.give_up()
        return False

    async def _look_in_time(self, model: str) -> None:
        rules, now = self._rules[model], self._clock.now()
        if now - self._looked.get(model, 0.0) < rules.interval and self._looked.get(model, 0.0) <= now:
            return
        self._looked[model] = now
        await self._look(rules, now)

    async def _look(self, rules: Rules, now: float) -> None:
        rollout = self._rollouts[rules.model]
        if rules.guard is None and rules.ramp is None:
            return
        trial = trial_of(rollout, self._trials.get(rules.model) or await self._store.trial(rules.model))
        seen = await self._seen(rules, rollout, trial, now)
        looked = look(rules, rollout, trial, seen, now)
        await self._keep(looked, rollout)
        if seen is not None:
            self._measuring.looked(rules.model)
        if looked.trial != trial and await self._store.keep(rules.model, looked.trial):
            self._trials[rules.model] = looked.trial

    async def _keep(self, looked: Looked, before: Rollout) -> None:
        """A change that somebody else was quicker than is none: it is looked again at the next interval."""
        if looked.change is None:
            return
        if await self._store.change(looked.rollout, looked.change, before.generation, leading=True):
            self._adopt(looked.rollout)
            self._tell(looked.change)

    async def _seen(self, rules: Rules, rollout: Rollout, trial: Trial, now: float) -> Seen | None:
        """None where nobody can say what happened."""
        if rules.guard is None:
            return Seen({}, {}, {})
        wanted = needed(rules, rollout, trial, now)
        try:
            seen = Seen(
                await self._of(rules.model, *wanted.window),
                await self._of(rules.model, *wanted.batch),
                await self._of(rules.model, *wanted.step),
            )
        except StoreUnavailable as error:
            if rules.model not in self._blind:
                self._blind.add(rules.model)
                self._events.event(BLIND, model=rules.model, error=str(error))
            return None
        if rules.model in self._blind:
            self._blind.discard(rules.model)
            self._events.event(SEEING, model=rules.model)
        return seen

    async def _of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        return await self._evidence.of(model, since, until) if since < until else {}

    def _tell(self, change: Change) -> None:
        self._measuring.changed(change.model, change.what.value)
        self._events.event(CHANGED, **change_told(change))

    def _now_leading(self, *, leads: bool) -> None:
        if leads != self._leads:
            self._leads = leads
            self._trials = {}
            self._events.event(LEADING if leads else FOLLOWING)
        self._measuring.leads(leads)

    def _now_unread(self, *, unread: bool, **fields: object) -> None:
        if unread != self._unread:
            self._unread = unread
            self._events.event(ROLLOUTS_UNREAD if unread else READ_AGAIN, **fields)


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

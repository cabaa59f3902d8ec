"""Rollouts as a sidecar runs them, on a clock that the test moves: who follows, who leads, whom an operator asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import pytest

from extproc.admin.rollouts import UnknownModel
from extproc.app.rollout_looks import BLIND
from extproc.app.rollout_table import CHANGED, RESTORED, MovingShares, RolloutTable
from extproc.app.rollouts import LEADING, ROLLOUTS_UNREAD, Rollouts
from extproc.core.errors import StoreUnavailable
from extproc.core.evidence import Evidence, Series
from extproc.core.guard import Comparison, Guard
from extproc.core.rollout import RolloutConflict, Rules, Status
from extproc.core.rollout_wishes import Action, Wish
from extproc.stores.rollout_file import RolloutFile
from extproc.testing import FakeClock
from tests.core.rollouts import RULES, evidence
from tests.stores.key_stores import FakeEvents

WELL: Final = {"v1": evidence(1_000, 10), "v2": evidence(300, 3)}
FAILING: Final = {"v1": evidence(1_000, 10), "v2": evidence(300, 30)}


@dataclass(slots=True)
class FakeWitness:
    """Says the same of every stretch, or that it cannot say."""

    seen: Mapping[str, Evidence] | None = None

    async def of(self, model: str, since: float, until: float) -> Mapping[str, Evidence]:
        if self.seen is None:
            raise StoreUnavailable("evidence: nobody is there")
        return self.seen

    async def series(self, model: str, since: float, until: float, step: float) -> Series:
        return [(since, await self.of(model, since, until))]


@dataclass(slots=True)
class FakeMeasuring:
    """Keeps what it hears."""

    steps: dict[str, int] = field(default_factory=dict)
    changes: list[str] = field(default_factory=list)
    looks: int = 0
    leading: bool = False

    def stepped(self, model: str, steps: int) -> None:
        self.steps[model] = steps

    def looked(self, model: str) -> None:
        self.looks += 1

    def changed(self, model: str, what: str) -> None:
        self.changes.append(what)

    def leads(self, leads: bool) -> None:
        self.leading = leads


@dataclass(slots=True)
class Sidecars:
    """Several on one file."""

    folder: Path
    clock: FakeClock = field(default_factory=FakeClock)
    events: FakeEvents = field(default_factory=FakeEvents)
    witness: FakeWitness = field(default_factory=lambda: FakeWitness(WELL))
    measuring: FakeMeasuring = field(default_factory=FakeMeasuring)
    tables: dict[int, MovingShares] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        return self.folder / "rollouts.json"

    async def start(self, rules: Rules = RULES) -> Rollouts:
        store = RolloutFile(self.file)
        shares = MovingShares()
        table = RolloutTable({rules.model: rules}, shares, store, self.clock, self.events, self.measuring)
        one = Rollouts(table, self.witness, self.events, self.measuring)
        self.tables[id(one)] = shares
        await one.begin()
        return one

    def of(self, sidecar: Rollouts) -> Mapping[str, int] | None:
        """The shares by which it chooses; None where its own file says."""
        shares = self.tables[id(sidecar)].of("recommend")
        return shares.weights if shares else None


@pytest.fixture
def sidecars(tmp_path: Path) -> Sidecars:
    return Sidecars(tmp_path)


def asking(action: Action, **more: Any) -> Wish:
    return Wish(action, **more)


START: Final = Wish(Action.START)


async def turns(sidecars: Sidecars, sidecar: Rollouts, count: int) -> None:
    for _ in range(count):
        sidecars.clock.advance(10.0)
        await sidecar.turn()


async def test_what_the_leader_decides_everybody_follows(sidecars: Sidecars) -> None:
    one, other = await sidecars.start(), await sidecars.start()
    assert sidecars.of(one) == {"v1": 10_000, "v2": 0}
    await one.turn()
    await other.desk.wish("recommend", START)
    await other.turn()
    assert (one.leads, other.leads) == (True, False)
    await turns(sidecars, one, 7)
    await other.turn()
    assert sidecars.of(one) == sidecars.of(other) == {"v1": 9_500, "v2": 500}
    assert [told["by"] for name, told in sidecars.events.told if name == CHANGED] == ["file", "operator", "automatic"]
    assert sidecars.measuring.changes == ["planned", "started", "stepped"]
    assert sidecars.measuring.steps == {"recommend": 2}


async def test_a_version_that_fails_is_turned_back_at_the_next_look(sidecars: Sidecars) -> None:
    sidecar = await sidecars.start()
    await sidecar.desk.wish("recommend", START)
    await turns(sidecars, sidecar, 3)
    sidecars.witness.seen = FAILING
    await turns(sidecars, sidecar, 1)
    assert sidecars.of(sidecar) == {"v1": 10_000, "v2": 0}
    (last, *_) = await sidecar.desk.history("recommend")
    assert (last["what"], last["by"]) == ("rolled back", "automatic")
    assert last["evidence"]["versions"]["v2"]["errors"] == 30


async def test_another_leads_when_the_leader_has_gone_and_goes_on_in_the_same_step(sidecars: Sidecars) -> None:
    one, other = await sidecars.start(), await sidecars.start()
    await one.desk.wish("recommend", START)
    await turns(sidecars, one, 4)
    await other.turn()
    await one.close()
    await turns(sidecars, other, 3)
    assert other.leads
    assert sidecars.of(other) == {"v1": 9_500, "v2": 500}
    assert sidecars.events.names.count(LEADING) == 2


async def test_a_restart_goes_on_where_it_was_whatever_the_file_plans(sidecars: Sidecars) -> None:
    one = await sidecars.start()
    await one.desk.wish("recommend", asking(Action.SET, shares={"v2": 4_000}))
    await one.close()
    again = await sidecars.start()
    assert sidecars.of(again) == {"v1": 6_000, "v2": 4_000}


async def test_without_evidence_nothing_moves_and_an_operator_can_still_turn_back(sidecars: Sidecars) -> None:
    sidecar = await sidecars.start()
    await sidecar.desk.wish("recommend", START)
    sidecars.witness.seen = None
    await turns(sidecars, sidecar, 20)
    assert sidecars.of(sidecar) == {"v1": 9_900, "v2": 100}
    assert sidecars.events.names.count(BLIND) == 1
    assert sidecars.measuring.looks == 0
    told = await sidecar.desk.wish("recommend", asking(Action.ROLLBACK, reason="it smells"))
    assert (told["status"], told["shares"]) == ("rolled back", {"v1": 100, "v2": 0})


async def test_a_store_that_is_gone_leaves_the_shares_as_they_are(sidecars: Sidecars) -> None:
    sidecar = await sidecars.start()
    await sidecar.desk.wish("recommend", asking(Action.SET, shares={"v2": 4_000}))
    await sidecar.turn()
    sidecars.file.write_text("nonsense")
    await turns(sidecars, sidecar, 5)
    assert sidecars.of(sidecar) == {"v1": 6_000, "v2": 4_000}
    assert sidecars.events.names.count(ROLLOUTS_UNREAD) == 1
    assert not sidecar.leads
    with pytest.raises(StoreUnavailable):
        await sidecar.desk.wish("recommend", START)


async def test_a_store_that_was_emptied_is_told_again_what_is_in_force(sidecars: Sidecars) -> None:
    sidecar = await sidecars.start()
    told = await sidecar.desk.wish("recommend", asking(Action.SET, shares={"v2": 4_000}))
    sidecars.file.unlink()
    await sidecar.turn()
    assert sidecars.of(sidecar) == {"v1": 6_000, "v2": 4_000}
    assert RESTORED in sidecars.events.names
    assert (await sidecar.desk.told("recommend"))["generation"] == told["generation"]


async def test_a_file_with_other_weights_takes_effect_once_when_its_sidecar_starts(sidecars: Sidecars) -> None:
    old = await sidecars.start()
    await old.desk.wish("recommend", START)
    sidecars.clock.advance(60)
    edited = replace(RULES, planned={"v1": 7_000, "v2": 3_000})
    new = await sidecars.start(edited)
    assert sidecars.of(new) == {"v1": 7_000, "v2": 3_000}
    await old.turn()
    assert sidecars.of(old) == {"v1": 7_000, "v2": 3_000}, "the same versions: who started first follows"
    await turns(sidecars, old, 20)
    assert sidecars.of(old) == {"v1": 7_000, "v2": 3_000}, "and decides nothing"
    await new.turn()
    assert (old.leads, new.leads) == (False, True)
    assert not (await old.desk.told("recommend"))["same_file"]


async def test_where_the_last_file_has_other_versions_the_others_own_weights_are_in_force(sidecars: Sidecars) -> None:
    old = await sidecars.start()
    sidecars.clock.advance(60)
    new = await sidecars.start(replace(RULES, candidate="v3", planned={"v1": 9_000, "v3": 1_000}))
    await old.turn()
    assert sidecars.of(old) is None
    assert sidecars.of(new) == {"v1": 9_000, "v3": 1_000}


async def test_of_two_operators_who_saw_the_same_one_is_told_so(sidecars: Sidecars) -> None:
    sidecar = await sidecars.start()
    seen = (await sidecar.desk.told("recommend"))["generation"]
    await sidecar.desk.wish("recommend", asking(Action.START, generation=seen))
    with pytest.raises(RolloutConflict, match="somebody changed it"):
        await sidecar.desk.wish("recommend", asking(Action.PROMOTE, generation=seen))
    assert (await sidecar.desk.told("recommend"))["status"] == Status.RAMPING.value


async def test_a_model_that_is_not_there_is_told(sidecars: Sidecars) -> None:
    sidecar = await sidecars.start()
    for asked in (
        sidecar.desk.told("x"),
        sidecar.desk.history("x"),
        sidecar.desk.wish("x", START),
        sidecar.desk.series("x", 0, 1, 1),
    ):
        with pytest.raises(UnknownModel):
            await asked


async def test_what_the_tests_know_survives_the_leader(sidecars: Sidecars) -> None:
    rules = replace(RULES, guard=Guard(compare=Comparison(error_rate=0.0), settle=0.0))
    one = await sidecars.start(rules)
    await one.desk.wish("recommend", START)
    await turns(sidecars, one, 5)
    before = (await one.desk.told("recommend"))["tests"]
    await one.close()
    again = await sidecars.start(rules)
    assert (await again.desk.told("recommend"))["tests"] == before
    assert before["compare.error_rate"] != 1.0

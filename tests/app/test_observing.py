"""Who is measured must not notice it: not when the measuring fails either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from extproc.app.observing import (
    AT_ONCE,
    Gathered,
    Harmless,
    ObservedCounters,
    RecordedAndCounted,
    Summed,
    ToldAndCounted,
)
from extproc.core.errors import StoreUnavailable
from extproc.core.limits import Charge, Counter, CounterState, Hit, Limit, Per, Settlement
from extproc.core.record import DecisionRecord, Result
from extproc.stores.memory import MemoryCounters
from extproc.testing import FakeClock, FakeRecorder
from tests.stores.key_stores import FakeEvents

RECORD = DecisionRecord("ext_authz", Result.ALLOW, "allowed")
CHARGE = Charge((Hit(Counter(Limit("tier", "tier/free", Per.CONSUMER, 1, 60, 1), ("alice",))),))


class Fails:
    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.asked = 0

    def __call__(self, *_: object) -> None:
        self.asked += 1
        raise self.error

    def record(self, record: DecisionRecord) -> None:
        self()

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        raise self.error

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        raise self.error


@dataclass(slots=True)
class Told:
    errors: list[Exception] = field(default_factory=list)

    def __call__(self, error: Exception) -> None:
        self.errors.append(error)


def test_what_measures_is_called_with_what_was_given() -> None:
    seen: list[DecisionRecord] = []
    Harmless(Told())(seen.append)(RECORD)
    assert seen == [RECORD]


def test_what_measuring_raises_ends_there_and_is_told_once() -> None:
    told, first, other = Told(), Fails(ValueError()), Fails(RecursionError())
    harmless = Harmless(told)
    for measure in (harmless(first), harmless(first), harmless(other)):
        measure()
    assert (first.asked, other.asked) == (2, 1)
    assert told.errors == [first.error]


def test_telling_may_be_measured_itself() -> None:
    told: list[str] = []

    def tell(error: Exception) -> None:
        told.append(type(error).__name__)
        measured()

    measured = Harmless(tell)(Fails(ValueError()))
    measured()
    assert told == ["ValueError"]


def test_a_process_that_is_told_to_end_ends_while_it_measures_too() -> None:
    with pytest.raises(KeyboardInterrupt):
        Harmless(Told())(Fails(KeyboardInterrupt()))()


def test_what_is_gathered_is_measured_in_order_when_there_is_enough_or_somebody_looks() -> None:
    seen: list[int] = []
    gathered = Gathered(seen.append)
    for number in range(AT_ONCE + 3):
        gathered(number)
    assert seen == list(range(AT_ONCE))
    gathered.settle()
    gathered.settle()
    assert seen == list(range(AT_ONCE + 3))


def test_what_is_summed_is_measured_once_for_each_kind_when_somebody_looks() -> None:
    seen: list[tuple[str, int]] = []
    summed = Summed(lambda kind, times: seen.append((kind, times)))
    for kind in ("allowed", "refused", "allowed"):
        summed(kind)
    assert seen == []
    summed.settle()
    summed.settle()
    assert seen == [("allowed", 2), ("refused", 1)]


def test_a_decision_is_logged_and_counted() -> None:
    log, counted = FakeRecorder(), FakeRecorder()
    RecordedAndCounted(log, counted.record).record(RECORD)
    assert (log.records, counted.records) == ([RECORD], [RECORD])


def test_a_decision_that_cannot_be_counted_is_logged_all_the_same() -> None:
    log, told = FakeRecorder(), Told()
    recorder = RecordedAndCounted(log, Harmless(told)(Fails(ValueError())))
    for _ in range(3):
        recorder.record(RECORD)
    assert log.records == [RECORD] * 3
    assert len(told.errors) == 1


def test_a_decision_that_cannot_be_logged_is_the_callers_to_hear() -> None:
    with pytest.raises(OSError, match="full"):
        RecordedAndCounted(Fails(OSError("full")), FakeRecorder().record).record(RECORD)


async def test_a_stores_answers_pass_as_they_are_and_each_is_told() -> None:
    clock, ended = FakeClock(), list[str]()
    store, plain = ObservedCounters(MemoryCounters(clock), ended.append), MemoryCounters(clock)
    for _ in range(2):
        assert await store.hit(CHARGE) == await plain.hit(CHARGE)
    assert ended == ["allowed", "refused"]


@pytest.mark.parametrize("error", [StoreUnavailable("full"), ValueError()])
async def test_a_store_that_fails_is_unavailable_and_fails_as_it_did(error: Exception) -> None:
    ended: list[str] = []
    with pytest.raises(type(error)) as raised:
        await ObservedCounters(Fails(error), ended.append).hit(CHARGE)
    assert raised.value is error
    assert ended == ["unavailable"]


async def test_a_full_store_is_unavailable() -> None:
    ended: list[str] = []
    store = MemoryCounters(FakeClock(), capacity=0)
    with pytest.raises(StoreUnavailable):
        await ObservedCounters(store, ended.append).hit(CHARGE)
    assert (store.capacity, ended) == (0, ["unavailable"])


async def test_a_measurement_that_fails_takes_no_charge_back() -> None:
    store = ObservedCounters(MemoryCounters(FakeClock()), Harmless(Told())(Fails(ValueError())))
    assert [(await store.hit(CHARGE))[0].allowed for _ in range(2)] == [True, False]


def test_an_event_is_told_with_all_that_is_known_and_counted_by_its_name() -> None:
    log, counted = FakeEvents(), list[str]()
    ToldAndCounted(log, counted.append).event("keys_read", keys=2)
    assert (log.told, counted) == ([("keys_read", {"keys": 2})], ["keys_read"])

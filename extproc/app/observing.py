"""What stands between those who work and those who measure them, so that measuring can change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, ParamSpec, TypeVar

from extproc.core.limits import Charge, CounterState, Settlement
from extproc.core.ports import CounterStore, Events, Recorder, WindowCounters
from extproc.core.record import DecisionRecord
from extproc.core.windows import Addition, Counted

AT_ONCE: Final = 128  # some 0.4 ms of counting
P = ParamSpec("P")
T = TypeVar("T")


class Harmless:
    """Makes of a call that measures one that never raises. The first failure of all is told, for its repair."""

    def __init__(self, tell: Callable[[Exception], object]) -> None:
        self._tell = tell
        self._told = False

    def __call__(self, measure: Callable[P, object]) -> Callable[P, None]:
        def measured(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                measure(*args, **kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is not the measured one's concern
                self._failed(error)

        return measured

    def _failed(self, error: Exception) -> None:
        if not self._told:
            self._told = True  # before it is told: telling may be measured itself
            self._tell(error)


class Gathered(Generic[T]):
    """Measures some at a time: many in a row cost half of what each alone would, between the work that they measure.
    Nothing is lost by that: whoever looks at the measurements settles first."""

    def __init__(self, measure: Callable[[T], object]) -> None:
        self._measure = measure
        self._waiting: list[T] = []

    def __call__(self, observed: T) -> None:
        self._waiting.append(observed)
        if len(self._waiting) >= AT_ONCE:
            self.settle()

    def settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        for observed in waiting:
            self._measure(observed)


class Summed:
    """Measures how often each of a few things happened, when somebody looks; until then it only counts."""

    def __init__(self, measure: Callable[[str, int], object]) -> None:
        self._measure = measure
        self._times: dict[str, int] = {}

    def __call__(self, observed: str) -> None:
        self._times[observed] = self._times.get(observed, 0) + 1

    def settle(self) -> None:
        times, self._times = self._times, {}
        for observed, number in times.items():
            self._measure(observed, number)


class RecordedAndCounted:
    """One record for the log, whose failure is the caller's, and for whoever counts."""

    def __init__(self, log: Recorder, count: Callable[[DecisionRecord], None]) -> None:
        self._log = log
        self._count = count

    def record(self, record: DecisionRecord) -> None:
        self._log.record(record)
        self._count(record)


class ObservedCounters:
    """A counter store that tells how each of its judgements ended: allowed, refused or unavailable."""

    def __init__(self, store: CounterStore, ended: Callable[[str], None]) -> None:
        self._store = store
        self._ended = ended

    async def hit(self, charge: Charge) -> tuple[CounterState, ...]:
        try:
            states = await self._store.hit(charge)
            result = "allowed"
            for state in states:
                if state.refuses:
                    result = "refused"
        except Exception:
            self._ended("unavailable")
            raise
        self._ended(result)
        return states

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        try:
            await self._store.settle(settlements)
        except Exception:
            self._ended("unavailable")
            raise
        self._ended("settled")


class ObservedWindows:
    """The same for calendar counters, which refuse nothing themselves: counted or unavailable."""

    def __init__(self, store: WindowCounters, ended: Callable[[str], None]) -> None:
        self._store = store
        self._ended = ended

    async def add(self, additions: tuple[Addition, ...]) -> Counted:
        try:
            counted = await self._store.add(additions)
        except Exception:
            self._ended("unavailable")
            raise
        self._ended("counted")
        return counted


class Unheard:
    """For whoever builds a gateway without serving it: nobody reads its events."""

    def event(self, name: str, **fields: object) -> None:
        pass


class ToldAndCounted:
    """An event for the log, and for whoever counts."""

    def __init__(self, log: Events, count: Callable[[str], None]) -> None:
        self._log = log
        self._count = count

    def event(self, name: str, **fields: object) -> None:
        self._log.event(name, **fields)
        self._count(name)

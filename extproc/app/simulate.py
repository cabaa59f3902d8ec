"""What a change of a gateway file would have refused: its log, judged by the file as it is and with the change.

The log is read once, as a stream. Records are written when a call ends, so they are put in the order in which they were
judged, within a bound.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from extproc.app.replaying import BEGINNING, LeftOut, Named, Replay, Verdict
from extproc.core.limits import NANOSECONDS, Judged
from extproc.core.record import Result
from extproc.telemetry.traffic import Asked, Read, Started

DISORDER: Final = (
    10_000  # records that may stand between two that were judged in the other order: all that wait at once
)
ONE_CLOCK: Final = (
    NANOSECONDS // 20
)  # how far two clocks of one machine part between two records; time servers slew them
MOST_CLOCKS: Final = 64
MOST_ROWS: Final = 100_000  # of consumers and limits; further consumers are told together
OTHERS: Final = "(others)"
NOBODY: Final = "-"


@dataclass(slots=True)
class Row:
    """A consumer before one limit. Times are in seconds of the epoch, of the first refusal, 0 where there is none."""

    consumer: str
    limit: Named
    requests: int = 0
    refused_before: int = 0
    refused_after: int = 0
    first_before: float = 0.0
    first_after: float = 0.0


@dataclass(slots=True)
class Told:
    """What is known of the traffic. `inexact` are records that do not say when they were judged; `late` those that came
    after what was judged later; `elsewhere` is asked of routes that the file does not have; `undecided` those of which
    the record does not say what some limit counts by."""

    requests: int = 0
    judged: int = 0
    refused_in_log: int = 0
    refused_before: int = 0
    refused_after: int = 0
    unreadable: int = 0
    inexact: int = 0
    late: int = 0
    elsewhere: int = 0
    undecided: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass(slots=True)
class Simulation:
    rows: list[Row] = field(default_factory=list)
    told: Told = field(default_factory=Told)
    left_out: list[LeftOut] = field(default_factory=list)


class Judgement(NamedTuple):
    """One request, as the log has it, as the file is, and as it would be."""

    asked: Asked
    before: Verdict
    after: Verdict


async def simulate(before: Replay, after: Replay, traffic: Iterable[Read]) -> Simulation:
    """Whatever the traffic is, it is judged as far as it can be."""
    told, rows = Told(), _Rows()
    for moment, read in _ordered(traffic, told):
        if isinstance(read, Started):
            before.restart()
            after.restart()
            continue
        rows.add(await _judged(before, after, read, moment, told))
    told.refused_before = sum(row.refused_before for row in rows.of.values())
    told.refused_after = sum(row.refused_after for row in rows.of.values())
    return Simulation(rows.sorted(), told, sorted({*before.left_out, *after.left_out}))


async def _judged(before: Replay, after: Replay, asked: Asked, moment: Judged, told: Told) -> Judgement:
    told.requests += 1
    told.elsewhere += not before.knows(asked.route) and not after.knows(asked.route)
    told.refused_in_log += asked.limited and asked.result is Result.DENY
    told.first = min(told.first or moment.time, moment.time)
    told.last = max(told.last, moment.time)
    judgement = Judgement(asked, await before.judge(asked, moment), await after.judge(asked, moment))
    told.undecided += judgement.before.undecided or judgement.after.undecided
    judged = bool(judgement.before.judged_by or judgement.after.judged_by)
    told.judged += judged
    told.inexact += judged and not asked.exact
    return judgement


class _Rows:
    def __init__(self) -> None:
        self.of: dict[tuple[str, Named], Row] = {}

    def add(self, judgement: Judgement) -> None:
        asked, before, after = judgement
        for limit in dict.fromkeys((*before.judged_by, *after.judged_by)):
            row = self._row(_who(asked, limit), limit)
            row.requests += 1
            if before.refused_by == limit:
                row.refused_before += 1
                row.first_before = row.first_before or asked.at.time
            if after.refused_by == limit:
                row.refused_after += 1
                row.first_after = row.first_after or asked.at.time

    def sorted(self) -> list[Row]:
        """Whom the change hits most stands first."""
        return sorted(
            self.of.values(), key=lambda row: (-row.refused_after, -row.refused_before, row.consumer, row.limit)
        )

    def _row(self, who: str, limit: Named) -> Row:
        if (who, limit) not in self.of and len(self.of) >= MOST_ROWS:
            who = OTHERS
        return self.of.setdefault((who, limit), Row(who, limit))


def _who(asked: Asked, limit: Named) -> str:
    """A caller without a name is known by its address, where a limit counts that."""
    return asked.consumer or (asked.address if limit.name.startswith("address-") else "") or NOBODY


def _ordered(traffic: Iterable[Read], told: Told) -> Iterator[tuple[Judged, Asked | Started]]:
    """By the time of judgement, never backwards. A start of the sidecar is between what was before and after it."""
    queue = _Queue()
    for read in traffic:
        if isinstance(read, Asked):
            queue.put(read)
            yield from queue.taken(told, leaving=DISORDER)
        elif isinstance(read, Started):
            yield from queue.taken(told, leaving=0)
            yield BEGINNING, read
        else:
            told.unreadable += 1
    yield from queue.taken(told, leaving=0)


class _Queue:
    """What was read and not judged yet, by its time; `unplaced` is what came before any record that knows its own."""

    def __init__(self) -> None:
        self._line = _Timeline()
        self._unplaced: list[Asked] = []
        self._placed: list[tuple[int, int, Asked]] = []
        self._number = 0
        self._last = 0

    def put(self, asked: Asked) -> None:
        self._unplaced.append(asked)
        if asked.exact:
            self._line.see(asked.at)
        if self._line.begun or len(self._unplaced) > DISORDER:
            self._place()

    def taken(self, told: Told, *, leaving: int) -> Iterator[tuple[Judged, Asked]]:
        if not leaving:
            self._place()
        while len(self._placed) > leaving:
            monotonic, _, asked = heapq.heappop(self._placed)
            told.late += monotonic < self._last
            self._last = max(self._last, monotonic)
            yield Judged(self._last, asked.at.time), asked

    def _place(self) -> None:
        for asked in self._unplaced:
            self._number += 1
            heapq.heappush(self._placed, (self._line.place(asked), self._number, asked))
        self._unplaced.clear()


class _Timeline:
    """The clocks that never step back begin anew with each machine, so each has its own distance from the time of day.
    What came from one machine keeps its exact distances; machines are put beside each other by their time of day."""

    def __init__(self) -> None:
        self._first = 0
        self._clocks: list[tuple[int, int]] = []  # the distance when it was seen last, and first; the latest in front

    @property
    def begun(self) -> bool:
        return bool(self._clocks)

    def see(self, at: Judged) -> None:
        distance = _nanoseconds(at) - at.monotonic
        known = next((index for index, clock in enumerate(self._clocks) if abs(clock[0] - distance) < ONE_CLOCK), None)
        first = distance if known is None else self._clocks.pop(known)[1]
        self._first = first if not self._clocks and known is None else self._first
        self._clocks = [(distance, first), *self._clocks[: MOST_CLOCKS - 1]]

    def place(self, asked: Asked) -> int:
        """Of a record that was seen just now, or of one without a time of judgement, which is put beside it."""
        seen, first = self._clocks[0] if self._clocks else (0, 0)
        monotonic = asked.at.monotonic if asked.exact else _nanoseconds(asked.at) - seen
        return monotonic + first - self._first


def _nanoseconds(at: Judged) -> int:
    return int(at.time * NANOSECONDS)

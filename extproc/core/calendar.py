"""Windows of the calendar: which minute, hour, day, week or month a moment belongs to, in whole seconds of the epoch.

A minute and an hour are the same everywhere, and follow UTC. Days, weeks (from Monday, ISO 8601) and months begin at
midnight of a time zone; where a clock change takes that midnight away, or has it twice, at the moment from which on the
date is the new one for good. So every moment is in exactly one window, and a day has 23 or 25 hours where it has.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import Enum
from typing import Final, NamedTuple

MINUTE: Final = 60
HOUR: Final = 3_600
DAY: Final = 86_400


class Unit(Enum):
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


# The longest that each can be, but for a clock change.
SECONDS: Final = {
    Unit.MINUTE: MINUTE, Unit.HOUR: HOUR, Unit.DAY: DAY, Unit.WEEK: 7 * DAY, Unit.MONTH: 31 * DAY,
}  # fmt: skip


class Window(NamedTuple):
    """From `start` on, and until just before `end`."""

    start: int
    end: int


class Calendar:
    """The windows of one limit. The one that was asked for last is remembered: the next request is in it as well."""

    __slots__ = ("_last", "unit", "zone")

    def __init__(self, unit: Unit, zone: tzinfo = UTC) -> None:
        self.unit = unit
        self.zone = zone
        self._last = Window(0, 0)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Calendar) and (self.unit, self.zone) == (other.unit, other.zone)

    def __hash__(self) -> int:
        return hash((self.unit, self.zone))

    def __repr__(self) -> str:
        return f"Calendar({self.unit.value}, {self.zone})"

    @property
    def is_even(self) -> bool:
        """Whether its windows have one length, but for a clock change."""
        return self.unit is not Unit.MONTH

    def window(self, moment: int) -> Window:
        """Of a moment in seconds of the epoch."""
        last = self._last
        if last.start <= moment < last.end:
            return last
        self._last = found = self._find(moment)
        return found

    def _find(self, moment: int) -> Window:
        if self.unit in (Unit.MINUTE, Unit.HOUR):
            length = SECONDS[self.unit]
            start = moment - moment % length
            return Window(start, start + length)
        today = datetime.fromtimestamp(moment, self.zone).date()
        first, after = _dates(self.unit, today)
        return Window(self._midnight(first), self._midnight(after))

    def _midnight(self, day: date) -> int:
        """PEP 495: of a midnight that comes twice, `fold` tells the two apart; of one that never comes, it gives the
        moments before and after the gap. The later one is right in both cases."""
        readings = (datetime(day.year, day.month, day.day, tzinfo=self.zone, fold=fold) for fold in (0, 1))
        return max(int(reading.timestamp()) for reading in readings)


def _dates(unit: Unit, today: date) -> tuple[date, date]:
    """The first day of the window, and the first one after it."""
    if unit is Unit.DAY:
        return today, today + timedelta(days=1)
    if unit is Unit.WEEK:
        monday = today - timedelta(days=today.weekday())
        return monday, monday + timedelta(days=7)
    return today.replace(day=1), (today.replace(day=28) + timedelta(days=4)).replace(day=1)

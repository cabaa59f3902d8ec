"""Windows of the calendar: every moment is in exactly one, whatever a time zone does with its clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extproc.core.calendar import DAY, HOUR, Calendar, Unit, Window

ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia", "America/Havana", "Asia/Beirut",
)  # fmt: skip


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("unit", "zone", "moment", "start", "end"),
    [
        (Unit.MINUTE, "UTC", "2026-11-25T13:20:59Z", "2026-11-25T13:20:00Z", "2026-11-25T13:21:00Z"),
        (Unit.HOUR, "UTC", "2026-11-25T13:20:59Z", "2026-11-25T13:00:00Z", "2026-11-25T14:00:00Z"),
        (Unit.HOUR, "Asia/Kathmandu", "2026-11-25T13:20:59Z", "2026-11-25T13:00:00Z", "2026-11-25T14:00:00Z"),
        (Unit.DAY, "UTC", "2026-11-25T23:59:59Z", "2026-11-25T00:00:00Z", "2026-11-26T00:00:00Z"),
        (Unit.DAY, "UTC", "2026-11-26T00:00:00Z", "2026-11-26T00:00:00Z", "2026-11-27T00:00:00Z"),
        (Unit.DAY, "Asia/Tokyo", "2026-11-25T16:00:00Z", "2026-11-25T15:00:00Z", "2026-11-26T15:00:00Z"),
        (Unit.WEEK, "UTC", "2026-11-29T23:59:59Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
        (Unit.MONTH, "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        (Unit.MONTH, "UTC", "2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
        (Unit.MONTH, "America/New_York", "2026-11-01T03:59:59Z", "2026-10-01T04:00:00Z", "2026-11-01T04:00:00Z"),
        # Clocks go forward at midnight: the day begins at one o'clock.
        (Unit.DAY, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
        # Clocks go back at midnight: 23 o'clock comes twice, and so does midnight.
        (Unit.DAY, "America/Sao_Paulo", "2018-02-18T02:30:00Z", "2018-02-17T02:00:00Z", "2018-02-18T03:00:00Z"),
        # A day that was left out.
        (Unit.DAY, "Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", "2011-12-30T10:00:00Z"),
    ],
)
def test_a_moment_is_in_the_window_of_its_own_calendar(
    unit: Unit, zone: str, moment: str, start: str, end: str
) -> None:
    assert Calendar(unit, ZoneInfo(zone)).window(seconds(moment)) == Window(seconds(start), seconds(end))


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25)])
def test_a_day_is_as_long_as_the_clocks_make_it(day: str, hours: int) -> None:
    start, end = Calendar(Unit.DAY, ZoneInfo("Europe/Berlin")).window(seconds(day))
    assert end - start == hours * HOUR


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(Unit)), st.sampled_from(ZONES), st.integers(0, 4_000_000_000))
def test_windows_follow_each_other_without_a_gap(unit: Unit, zone: str, moment: int) -> None:
    calendar = Calendar(unit, ZoneInfo(zone))
    start, end = calendar.window(moment)
    assert start <= moment < end
    assert calendar.window(start) == calendar.window(end - 1) == Window(start, end)
    assert calendar.window(end).start == end
    assert calendar.window(start - 1).end == start
    assert end - start <= 32 * DAY


def test_calendars_are_the_same_by_what_they_say() -> None:
    assert Calendar(Unit.DAY) == Calendar(Unit.DAY, UTC)
    assert hash(Calendar(Unit.DAY)) == hash(Calendar(Unit.DAY, UTC))
    assert Calendar(Unit.DAY) != Calendar(Unit.WEEK)
    assert Calendar(Unit.DAY) != Calendar(Unit.DAY, ZoneInfo("Asia/Tokyo"))
    assert repr(Calendar(Unit.DAY)) == "Calendar(day, UTC)"

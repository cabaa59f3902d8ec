"""The arithmetic that judges counters, kind by kind, in whole numbers. What a counter keeps is a value of its own: a
store writes the new one down only if every counter of the charge allows.

RATE          GCRA (ITU-T I.371's virtual scheduling): one number, at most burst + rate x t in any window of length t
QUOTA, BUDGET one number for each window of the calendar: at most `count` in each
SLIDING       what each slice of the window admitted: at most `count` in any window of that length
CONCURRENCY   who holds a slot, and until when: at most `count` at once
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from extproc.core.calendar import Window
from extproc.core.limits import NANOSECONDS, SLICES, CounterState, Hit

WHEN_FULL: Final = NANOSECONDS  # a slot may become free at any time: ask again in a second


class Used(NamedTuple):
    """What a window of the calendar has admitted."""

    window: Window
    amount: int


class Slice(NamedTuple):
    """What was admitted in one slice of time, by its number since time began."""

    number: int
    amount: int


Slices = tuple[Slice, ...]
Leases = OrderedDict[str, int]  # who holds a slot -> when it is free anyway, the oldest first


def judge(hit: Hit, due: int, now: int) -> tuple[CounterState, int]:
    """Judge a hit on a counter whose theoretical arrival time is `due`, at `now` (both in nanoseconds).

    Returns the state and the new `due`, which the caller stores only if every counter of the charge allows.
    """
    limit = hit.counter.limit
    interval = limit.interval
    start = max(now, due)  # as max() would say, at a third of its cost
    horizon = now + limit.burst * interval
    asked = start + max(hit.count, 1) * interval
    allowed = asked <= horizon
    after = start + hit.count * interval if allowed else start
    remaining = max(0, (horizon - after) // interval)
    retry_after = 0 if allowed else asked - horizon
    return CounterState(hit.counter, allowed, remaining, after - now, retry_after), after


def judge_used(hit: Hit, kept: Used | None, window: Window, now: int) -> tuple[CounterState, Used]:
    """`now` in nanoseconds of the epoch, inside `window`; `kept` as `taken_along` gives it."""
    limit = hit.counter.limit
    used = kept.amount if kept is not None and kept.window == window else 0
    allowed = used + max(hit.count, 1) <= limit.count
    after = used + hit.count if allowed else used
    left = window.end * NANOSECONDS - now
    state = CounterState(
        hit.counter, allowed, max(0, limit.count - after), left if after else 0, 0 if allowed else left
    )
    return state, Used(window, after)


def taken_along(kept: Used, window: Window) -> Used:
    """A clock that was set back takes the count along into the earlier window, whatever is judged then: nobody has a
    second quota by that, and all is well again when that window ends."""
    return Used(window, kept.amount) if kept.window.start > window.start else kept


def settled(kept: Used, reserved: int, window: Window, amount: int) -> Used:
    """What was reserved in a window that is over belongs to that one, and changes nothing any more."""
    if kept.window != window:
        return kept
    return Used(window, max(0, kept.amount - reserved + amount))


def judge_sliding(hit: Hit, kept: Slices, now: int) -> tuple[CounterState, Slices]:
    """A slice counts until all of it is older than the window. So whatever is younger counts, and of what is older, at
    most a slice's length."""
    limit = hit.counter.limit
    width, number = limit.interval, now // limit.interval
    live = [one for one in kept if one.number >= number - SLICES]
    used = sum(one.amount for one in live)
    asked = max(hit.count, 1)
    allowed = used + asked <= limit.count
    if allowed and hit.count:
        live.append(Slice(number, hit.count))
        used += hit.count
    reset = (live[-1].number + SLICES + 1) * width - now if live else 0
    retry_after = 0 if allowed else (_freed(live, used + asked - limit.count, number) + SLICES + 1) * width - now
    return CounterState(hit.counter, allowed, limit.count - used, reset, retry_after), _joined(live)


def not_of_the_future(kept: Slices, number: int) -> Slices:
    """After a clock was set back: what it had admitted counts as of now."""
    if not kept or kept[-1].number <= number:
        return kept
    return _joined([Slice(min(one.number, number), one.amount) for one in kept])


def _freed(live: list[Slice], wanted: int, number: int) -> int:
    """The last slice that must leave before there is room; where there never will be, the newest."""
    for one in live:
        wanted -= one.amount
        if wanted <= 0:
            return one.number
    return number


def _joined(live: list[Slice]) -> Slices:
    amounts: dict[int, int] = {}
    for number, amount in live:
        amounts[number] = amounts.get(number, 0) + amount
    return tuple([Slice(number, amount) for number, amount in amounts.items()])


def judge_slots(hit: Hit, kept: Leases, holder: str, now: int) -> CounterState:
    """Whoever holds a slot already needs no other one. Slots whose time is over are forgotten; the caller stores the
    new one with `lease_until`."""
    limit = hit.counter.limit
    while kept and next(iter(kept.values())) <= now:
        kept.popitem(last=False)
    taken = len(kept)
    allowed = holder in kept or taken < limit.count
    taking = 1 if allowed and hit.count and holder not in kept else 0
    remaining = max(0, limit.count - taken - taking)
    return CounterState(hit.counter, allowed, remaining, 0, 0 if allowed else WHEN_FULL)


def lease_until(hit: Hit, now: int) -> int:
    return now + hit.counter.limit.period * NANOSECONDS

"""What is said to Redis about a charge: keys and numbers for `counters.lua`, and its answer as states.

A key is bounded and unambiguous, as a counter's own is. What stands in braces decides where a Cluster keeps it: all
counters of one subject, whatever the limit, are together, so that one script judges them at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from extproc.core.calendar import Window
from extproc.core.limits import NANOSECONDS, SLICES, Charge, Counter, CounterState, Hit, Kind, Settlement, spell_key

PREFIX: Final = "extproc:"
TAG: Final = 16  # hexadecimal digits: two subjects that share a tag share a place, and nothing else
MICROSECONDS: Final = 1_000_000
MILLISECONDS: Final = 1_000
NUMBERS: Final = 4  # of each item in an answer
LARGEST: Final = 2**52  # what Lua's numbers count exactly, and twice as much
HIT, BACK, SETTLE = "hit", "back", "settle"
NOWHERE: Final = Window(0, 0)


class Item(NamedTuple):
    """One counter of a call, and where it stood among all of them."""

    hit: Hit
    place: int


class Question(NamedTuple):
    """What the script is called with."""

    keys: tuple[bytes, ...]
    arguments: tuple[str | int, ...]


def group_of(counter: Counter) -> str:
    """Which counters are judged together where they must be on one server."""
    subject = spell_key(counter.subject) if counter.subject else counter.limit.key
    return hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()[:TAG]


def ask(what: str, items: Sequence[Item], charge: Charge, holder: str, time: str, moment: int) -> Question:
    """`moment` in seconds of the epoch, for the windows of the calendar."""
    keys: list[bytes] = []
    arguments: list[str | int] = [what, time, holder]
    for item in items:
        counter = item.hit.counter
        key = _key(counter)
        keys += (key, _reservation(counter, holder))
        arguments += _numbers(item.hit, moment)
    if charge.key is not None:
        keys.append(_remembered(charge, items[0].hit.counter))
    return Question(tuple(keys), tuple(arguments))


def ask_to_settle(settlements: Iterable[Settlement], held: str, time: str) -> Question:
    keys: list[bytes] = []
    arguments: list[str | int] = [SETTLE, time, held]
    for settlement in settlements:
        keys += (_key(settlement.counter), _reservation(settlement.counter, held))
        amount = min(max(0, settlement.amount), LARGEST)
        arguments += (settlement.counter.limit.kind.value, amount, 0, 0, 0, 0, 0, 0)
    return Question(tuple(keys), tuple(arguments))


def states_of(items: Sequence[Item], answer: Sequence[int]) -> list[CounterState]:
    return [
        CounterState(item.hit.counter, bool(allowed), remaining, reset, retry_after)
        for item, (allowed, remaining, reset, retry_after) in zip(items, _fours(answer), strict=True)
    ]


def _fours(answer: Sequence[int]) -> Iterable[Sequence[int]]:
    return (answer[at : at + NUMBERS] for at in range(0, len(answer), NUMBERS))


def _numbers(hit: Hit, moment: int) -> tuple[str | int, ...]:
    limit = hit.counter.limit
    window = limit.calendar.window(moment) if limit.calendar is not None else NOWHERE
    number, interval = limit.count, 0
    if limit.kind is Kind.RATE:
        number, interval = limit.burst, limit.interval
    elif limit.kind is Kind.SLIDING:
        interval = -(-limit.period * MICROSECONDS // SLICES)
    amount = min(hit.count, number + 1)  # as surely too much, and no number that Lua could not count
    return (
        limit.kind.value, amount, number, interval, window.start, window.end,
        limit.period * MILLISECONDS, int(limit.shadow),
    )  # fmt: skip


def _key(counter: Counter, part: str = "") -> bytes:
    return f"{PREFIX}{{{group_of(counter)}}}{part}:{counter.key}".encode("utf-8", "surrogatepass")


def _reservation(counter: Counter, holder: str) -> bytes:
    if counter.limit.kind is not Kind.BUDGET:
        return _key(counter)
    return _key(counter, f"held:{_short(holder)}")


def _remembered(charge: Charge, first: Counter) -> bytes:
    """The whole question, for two policies may charge for one stream."""
    asked = spell_key((charge.key or "", *(f"{hit.count}:{hit.counter.key}" for hit in charge.hits)))
    return f"{PREFIX}{{{group_of(first)}}}asked:{_short(asked)}".encode()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: 2 * TAG]


def seconds_of(microseconds: int) -> int:
    return microseconds // MICROSECONDS


def wall(seconds: float) -> int:
    return int(seconds * MICROSECONDS)


def too_large(counter: Counter) -> bool:
    """Whether Redis cannot count it exactly."""
    limit = counter.limit
    if limit.kind is Kind.RATE:
        return limit.burst * limit.interval > LARGEST
    return max(limit.count, limit.period * NANOSECONDS) > LARGEST

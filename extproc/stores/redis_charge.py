"""What is said to Redis about a charge: keys and numbers for `counters.lua`, and its answer as states.

A key is bounded and unambiguous, as a counter's own is. What stands in braces decides where a Cluster keeps it: all
counters of one subject, whatever the limit, are together, so that one script judges them at once.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from extproc.core.calendar import Window
from extproc.core.errors import StoreUnavailable
from extproc.core.limits import (
    NANOSECONDS,
    SLICES,
    Charge,
    Counter,
    CounterState,
    Hit,
    Kind,
    Limit,
    Settlement,
    spell_key,
)

PREFIX: Final = "extproc:"
TAG: Final = 16  # hexadecimal digits: two subjects that share a tag share a place, and nothing else
MICROSECONDS: Final = 1_000_000
MILLISECONDS: Final = 1_000
NUMBERS: Final = 4  # of each item in an answer
LARGEST: Final = 2**52  # what Lua's numbers count exactly, and twice as much
REMEMBERED: Final = 4096  # subjects, of which a tag is; and limits, of which the numbers are
HIT, BACK, SETTLE = "hit", "back", "settle"
NOWHERE: Final = Window(0, 0)


class Item(NamedTuple):
    """One counter of a call, and where it stood among all of them."""

    hit: Hit
    place: int


class Question(NamedTuple):
    """What the script is called with."""

    keys: Sequence[bytes]
    arguments: Sequence[str | int]


def group_of(counter: Counter) -> str:
    """Which counters are judged together where they must be on one server."""
    return _tag(counter.subject or (counter.limit.key,))


@functools.lru_cache(REMEMBERED)
def _tag(subject: tuple[str, ...]) -> str:
    return hashlib.sha256(spell_key(subject).encode("utf-8", "surrogatepass")).hexdigest()[:TAG]


def ask(what: str, items: Sequence[Item], charge: Charge, holder: str, time: str, moment: int) -> Question:
    """`moment` in seconds of the epoch, for the windows of the calendar."""
    keys: list[bytes] = []
    arguments: list[str | int] = [what, time, holder]
    tag = ""
    for hit, _ in items:
        tag = group_of(hit.counter)
        key = _key(tag, hit.counter.key)
        keys += (key, _reservation(tag, hit.counter, holder) if hit.counter.limit.kind is Kind.BUDGET else key)
        arguments += _numbers(hit, moment)
    if charge.key is not None:
        keys.append(_remembered(tag, charge))
    return Question(keys, arguments)


def ask_to_settle(settlements: Iterable[Settlement], held: str, time: str) -> Question:
    keys: list[bytes] = []
    arguments: list[str | int] = [SETTLE, time, held]
    for settlement in settlements:
        tag = group_of(settlement.counter)
        keys += (_key(tag, settlement.counter.key), _reservation(tag, settlement.counter, held))
        amount = min(max(0, settlement.amount), LARGEST)
        arguments += (settlement.counter.limit.kind.value, amount, 0, 0, 0, 0, 0, 0)
    return Question(keys, arguments)


def states_of(items: Sequence[Item], answer: Sequence[int]) -> list[CounterState]:
    if len(answer) != NUMBERS * len(items):
        raise StoreUnavailable("Redis has answered something else")
    states: list[CounterState] = []
    for at, (hit, _) in enumerate(items):
        allowed, remaining, reset, retry_after = answer[NUMBERS * at : NUMBERS * at + NUMBERS]
        states.append(CounterState(hit.counter, allowed == 1, remaining, reset, retry_after))
    return states


class Spelled(NamedTuple):
    """A limit in the script's words, worked out once. `number` None: it is larger than what Lua counts exactly."""

    limit: Limit
    kind: str
    number: int | None
    interval: int
    lease: int
    shadow: int


_spelled: dict[str, Spelled] = {}


def spelled(limit: Limit) -> Spelled:
    found = _spelled.get(limit.key)
    if found is None or found.limit is not limit:
        if len(_spelled) >= REMEMBERED:
            _spelled.clear()
        found = _spelled[limit.key] = _spell(limit)
    return found


def _spell(limit: Limit) -> Spelled:
    number, interval = limit.count, 0
    if limit.kind is Kind.RATE:
        number, interval = limit.burst, limit.interval
    elif limit.kind is Kind.SLIDING:
        interval = -(-limit.period * MICROSECONDS // SLICES)
    exact = max(number, number * interval if limit.kind is Kind.RATE else 0, limit.period * NANOSECONDS) <= LARGEST
    lease = limit.period * MILLISECONDS
    return Spelled(limit, limit.kind.value, number if exact else None, interval, lease, int(limit.shadow))


def _numbers(hit: Hit, moment: int) -> tuple[str | int, ...]:
    limit = hit.counter.limit
    _, kind, number, interval, lease, shadow = spelled(limit)
    if number is None:
        raise StoreUnavailable("a limit is larger than what Redis counts exactly")
    start, end = limit.calendar.window(moment) if limit.calendar is not None else NOWHERE
    amount = hit.count if hit.count <= number else number + 1  # as surely too much, and a number that Lua can count
    return (kind, amount, number, interval, start, end, lease, shadow)


def _key(tag: str, counter: str) -> bytes:
    return f"{PREFIX}{{{tag}}}:{counter}".encode("utf-8", "surrogatepass")


def _reservation(tag: str, counter: Counter, holder: str) -> bytes:
    return f"{PREFIX}{{{tag}}}held:{_short(spell_key((holder, counter.key)))}".encode()


def _remembered(tag: str, charge: Charge) -> bytes:
    """The whole question, for two policies may charge for one stream. In a Cluster the part that is judged there has a
    tag of its own."""
    asked = [charge.key or "", *[f"{hit.count}:{hit.counter.key}" for hit in charge.hits]]
    return f"{PREFIX}{{{tag}}}asked:{_short(spell_key(asked))}".encode()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[: 2 * TAG]


def seconds_of(microseconds: int) -> int:
    return microseconds // MICROSECONDS


def wall(seconds: float) -> int:
    return int(seconds * MICROSECONDS)

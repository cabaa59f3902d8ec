"""What a request holds until it ends, as one text that Envoy keeps meanwhile: any worker may hear of the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any, Final
from zoneinfo import ZoneInfo

from extproc.core.calendar import Calendar, Unit
from extproc.core.limits import Counter, Kind, Limit, OnError, Per, Settlement
from extproc.core.reservation import Reservation

LARGEST: Final = 2**52  # what every store counts exactly
NO_NUMBER: Final = -1


def spell_held(held: Sequence[Settlement]) -> str:
    return json.dumps([_spell(one) for one in held], separators=(",", ":"))


def _spell(one: Settlement) -> list[object]:
    limit = one.counter.limit
    settled = _terms(one) if one.until else limit.settle
    return [one.held, limit.scope, limit.name, limit.per.value, limit.kind.value, settled, *one.counter.subject]


def _terms(one: Settlement) -> list[object]:
    """Of a reservation that is metered, in place of the header that settles it: all that is needed to reserve more."""
    limit = one.counter.limit
    unit, zone = (limit.calendar.unit.value, str(limit.calendar.zone)) if limit.calendar else ("", "")
    return [one.amount, one.until, limit.count, limit.period, unit, zone, limit.shadow, limit.on_error.value]


def settlements(text: str, headers: Mapping[str, str], *, answered: bool = True) -> tuple[Settlement, ...]:
    """What is to be settled now that the request has ended: every slot, and the reservations of which the answer's
    headers say what they came to. Of the others, what was reserved stays charged. One that is metered is settled by
    whoever saw the answer; where there was none, it comes to nothing. Nothing where the text is none of ours."""
    found = [_read(item, headers, answered=answered) for item in _items(text)]
    return tuple([one for one in found if one is not None and one.amount != NO_NUMBER])


def reservation(text: str) -> Reservation | None:
    """What of it is metered; None where nothing is."""
    metered = [one for item in _items(text) if (one := _metered(item)) is not None]
    if not metered:
        return None
    covered = {one.counter: one.amount for one in metered}
    return Reservation(metered[0].held, covered, min(one.until for one in metered))


def is_metered(text: str) -> bool:
    return bool(text) and reservation(text) is not None


def _items(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):  # among them what JSON cannot be
        return []
    return found if isinstance(found, list) else []


def _read(item: Any, headers: Mapping[str, str], *, answered: bool) -> Settlement | None:
    try:
        held, scope, name, per, kind, settle, *subject = item
        # Of a limit, what it is found by is all that settling needs.
        limit = replace(Limit(name, scope, Per(per), 1, 1, 1), kind=Kind(kind))
        said = NO_NUMBER if answered else 0
        if not isinstance(settle, list):
            said = 0 if limit.kind is Kind.CONCURRENCY else _number(headers.get(settle, ""))
        return Settlement(Counter(limit, tuple(map(str, subject))), held, said)
    except (TypeError, ValueError):
        return None


def _metered(item: Any) -> Settlement | None:
    try:
        held, scope, name, per, kind, terms, *subject = item
        if not isinstance(terms, list):
            return None
        amount, until, count, period, unit, zone, shadow, on_error = terms
        limit = Limit(
            name, scope, Per(per), count, period, count, Kind(kind),
            calendar=Calendar(Unit(unit), UTC if zone == str(UTC) else ZoneInfo(zone)),
            unit="tokens", shadow=shadow, on_error=OnError(on_error),
        )  # fmt: skip
        return Settlement(Counter(limit, tuple(map(str, subject))), held, amount, until)
    except (TypeError, ValueError, KeyError, ArithmeticError):
        return None


def settled_amount(text: str) -> int:
    """What an answer's header says that a request came to; 0 where it says none."""
    return max(0, _number(text))


def _number(text: str) -> int:
    return (
        min(int(text), LARGEST) if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST)) else NO_NUMBER
    )

"""What a request holds until it ends, as one text that Envoy keeps meanwhile: any worker may hear of the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from extproc.core.limits import Counter, Kind, Limit, Per, Settlement

LARGEST: Final = 2**52  # what every store counts exactly
NO_NUMBER: Final = -1


def spell_held(held: Sequence[Settlement]) -> str:
    return json.dumps([_spell(one) for one in held], separators=(",", ":"))


def _spell(one: Settlement) -> list[object]:
    limit = one.counter.limit
    return [one.held, limit.scope, limit.name, limit.per.value, limit.kind.value, limit.settle, *one.counter.subject]


def settlements(text: str, headers: Mapping[str, str]) -> tuple[Settlement, ...]:
    """What is to be settled now that the request has ended: every slot, and the reservations of which the answer's
    headers say what they came to. Of the others, what was reserved stays charged. Nothing where the text is none of
    ours."""
    try:
        found = [_read(item, headers) for item in json.loads(text)]
    except (TypeError, ValueError, RecursionError):  # among them what JSON cannot be
        return ()
    return tuple([one for one in found if one.amount != NO_NUMBER])


def _read(item: Any, headers: Mapping[str, str]) -> Settlement:
    held, scope, name, per, kind, settle, *subject = item
    # Of a limit, what it is found by is all that settling needs.
    limit = replace(Limit(name, scope, Per(per), 1, 1, 1), kind=Kind(kind))
    amount = 0 if limit.kind is Kind.CONCURRENCY else _number(headers.get(settle, ""))
    return Settlement(Counter(limit, tuple(map(str, subject))), held, amount)


def settled_amount(text: str) -> int:
    """What an answer's header says that a request came to; 0 where it says none."""
    return max(0, _number(text))


def _number(text: str) -> int:
    return (
        min(int(text), LARGEST) if text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST)) else NO_NUMBER
    )

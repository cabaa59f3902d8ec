"""Decision records, read back: what was asked of a gateway, as far as its log says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, NamedTuple

from extproc.core.limits import NANOSECONDS, Judged
from extproc.core.rate_limit import LIMIT as LIMIT_FACT
from extproc.core.record import Result
from extproc.core.specs import LIMIT

LONGEST_LINE: Final = 64 * 1024  # bytes; a record's texts are bounded, and a user's policy has a few facts at most
EVENTS: Final = ("decision", "ready")
JUDGES_REQUESTS: Final = ("ext_authz", "ratelimit")


class Started(NamedTuple):
    """A sidecar began to serve here."""


class Unreadable(NamedTuple):
    """A line that is no record."""


class Asked(NamedTuple):
    """One request, and what became of it. `reached` says whether its limits were judged, or would have been if there
    had been any. `refused_by` is the limit that refused it, where the record names one; `reason` why whoever refused
    did it. `exact` says whether the record knows when its limits were judged; else it is when the record was made."""

    route: str
    consumer: str
    tier: str
    address: str
    method: str
    host: str
    path: str
    id: str
    at: Judged
    exact: bool
    result: Result
    reason: str
    reached: bool
    limited: bool
    refused_by: str


Read = Asked | Started | Unreadable
STARTED: Final = Started()
UNREADABLE: Final = Unreadable()


def read_traffic(lines: BinaryIO) -> Iterator[Read]:
    """Whatever the lines are, nothing raises. What is no request is left out: other events, and records of answers."""
    while line := lines.readline(LONGEST_LINE):
        whole = line.endswith(b"\n") or len(line) < LONGEST_LINE
        while not whole:  # the rest of a line that is too long is no other line
            rest = lines.readline(LONGEST_LINE)
            whole = rest.endswith(b"\n") or len(rest) < LONGEST_LINE
            line = b"-"
        read = _read(line) if line.strip() else None
        if read is not None:
            yield read


def _read(line: bytes) -> Read | None:
    try:
        record = json.loads(line)
        event = record["event"]
        if event not in EVENTS:
            return None if isinstance(event, str) else UNREADABLE
        if event == "ready":
            return STARTED
        return _asked(record) if record["service"] in JUDGES_REQUESTS else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return UNREADABLE


def _asked(record: Any) -> Asked:
    result, policy, reason = Result(record["result"]), _text(record, "policy"), str(record["reason"])
    judged = record.get("judged")
    steps = [step["policy"] for step in record.get("steps", ())]
    by_limit, named = policy == LIMIT, _text(record.get("facts", {}), LIMIT_FACT)
    return Asked(
        route=_text(record, "route"),
        consumer=_text(record, "consumer"),
        tier=_text(record, "tier"),
        address=_text(record, "address"),
        method=_text(record, "method"),
        host=_text(record, "host"),
        path=_text(record, "path"),
        id=_text(record, "request_id"),
        at=_at(judged["monotonic_ns"], judged["time"]) if judged else _at(None, record["time"]),
        exact=bool(judged),
        result=result,
        reason=reason,
        # An error of the limits themselves judged nothing; an error or a refusal of a later policy came after them.
        reached=result is Result.ALLOW or (LIMIT in steps and not (by_limit and result is Result.ERROR)),
        limited=by_limit and result is Result.DENY,
        refused_by=named if by_limit else "",
    )


def _at(monotonic: Any, time: Any) -> Judged:
    """Raises what `_read` knows for what is no moment."""
    seconds = float(time)
    nanoseconds = int(seconds * NANOSECONDS)
    if not 0 <= nanoseconds < 2**63 or not isinstance(monotonic, int | None) or not 0 <= (monotonic or 0) < 2**63:
        raise ValueError("no moment of this age")
    return Judged(nanoseconds if monotonic is None else monotonic, seconds)


def _text(record: Any, name: str) -> str:
    value = record.get(name, "")
    if not isinstance(value, str):
        raise TypeError(name)
    return value

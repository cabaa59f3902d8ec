"""Decision records as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, Final

import orjson

from extproc.core.ports import Clock
from extproc.core.record import DecisionRecord

MICROSECOND: Final = 1_000
HALF: Final = MICROSECOND // 2
# In ASCII, so that no reader breaks a line where we did not. One encoder for all: making it is half a line's work.
ENCODE: Final = json.JSONEncoder(ensure_ascii=True, default=str, separators=(",", ":")).encode
TEXTS: Final = (
    "route", "policy", "request_id", "method", "host", "path", "address", "consumer", "tier", "detail",
)  # fmt: skip
texts_of: Final = attrgetter(*TEXTS)
LONGEST: Final = 512  # of any one text: a path or host may be as long as the client likes


Line = Callable[[], str]


class JsonRecorder:
    """One line per decision. Values are bounded and escaped, so a record is always exactly one line.

    `put` takes a line that is still to be made, so that it can be made where nobody waits for it.
    """

    def __init__(self, clock: Clock, put: Callable[[Line], object]) -> None:
        self._clock = clock
        self._put = put

    def record(self, record: DecisionRecord) -> None:
        self._put(partial(_decision, record, self._clock.now()))

    def event(self, name: str, **fields: object) -> None:
        """What happens to the sidecar itself: started, stopping, a failure that belongs to no request."""
        self._put(partial(_line, {"event": name, "time": self._clock.now(), **fields}))


def _decision(record: DecisionRecord, at: float) -> str:
    """What is empty is left out."""
    fields: dict[str, Any] = {
        "event": "decision",
        "time": round(at, 3),
        "service": record.service,
        "result": record.result,
        "reason": record.reason,
    }
    for name, value in zip(TEXTS, texts_of(record), strict=True):
        if type(value) is not str or len(value) > LONGEST:
            fields[name] = _bounded(value)
        elif value:
            fields[name] = value
    if record.status:
        fields["status"] = record.status
    if duration := (record.duration + HALF) // MICROSECOND:
        fields["duration_us"] = duration
    if record.facts:
        fields["facts"] = {_bounded(name): _bounded(value) for name, value in record.facts.items()}
    if record.steps:
        fields["steps"] = [{"policy": name, "us": (taken + HALF) // MICROSECOND} for name, taken in record.steps]
    if record.judged:
        fields["judged"] = {"monotonic_ns": record.judged.monotonic, "time": record.judged.time}
    return _line(fields)


def _line(fields: dict[str, Any]) -> str:
    """By the quick encoder where its line is ASCII; it writes other characters as they are, and refuses surrogates."""
    try:
        line = orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:
        return ENCODE(fields) + "\n"
    return line.decode("ascii") if line.isascii() else ENCODE(fields) + "\n"


def _bounded(value: object) -> str:
    """A fact or a consumer's id comes from a policy, which may not have heard that it is to be text."""
    text = value if type(value) is str else str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."

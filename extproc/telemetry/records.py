"""Decision records as JSON lines (structlog)."""

from __future__ import annotations

import sys
from typing import Any, Final, Protocol

import structlog

from extproc.core.ports import Clock
from extproc.core.record import DecisionRecord

MICROSECOND: Final = 1_000
LONGEST: Final = 512  # of any one text: a path or host may be as long as the client likes


class LineStream(Protocol):
    """The part of a text stream that a log needs."""

    def write(self, text: str, /) -> int: ...

    def flush(self) -> None: ...


class JsonRecorder:
    """Writes one line per decision. Values are bounded and escaped, so a record is always exactly one line."""

    def __init__(self, clock: Clock, stream: LineStream | None = None) -> None:
        self._clock = clock
        self._logger = json_logger(stream)

    def record(self, record: DecisionRecord) -> None:
        self._logger.msg(**{key: value for key, value in self._fields(record).items() if value not in ("", {}, 0, [])})

    def event(self, name: str, **fields: object) -> None:
        """What happens to the sidecar itself: started, stopping, a failure that belongs to no request."""
        self._logger.msg(event=name, time=self._clock.now(), **fields)

    def _fields(self, record: DecisionRecord) -> dict[str, Any]:
        return {
            "event": "decision",
            "time": round(self._clock.now(), 3),
            "service": record.service,
            "result": record.result.value,
            "reason": record.reason,
            "status": record.status,
            "route": _bounded(record.route),
            "policy": _bounded(record.policy),
            "request_id": _bounded(record.request_id),
            "method": _bounded(record.method),
            "host": _bounded(record.host),
            "path": _bounded(record.path),
            "address": _bounded(record.address),
            "consumer": _bounded(record.consumer),
            "tier": _bounded(record.tier),
            "duration_us": round(record.duration / MICROSECOND),
            "facts": {_bounded(name): _bounded(value) for name, value in record.facts.items()},
            "detail": _bounded(record.detail),
            "steps": [{"policy": name, "us": round(taken / MICROSECOND)} for name, taken in record.steps],
        }


def json_logger(stream: LineStream | None = None) -> Any:
    """A logger of its own: nothing global is configured, so a host application's logging stays as it is."""
    return structlog.wrap_logger(
        structlog.WriteLogger(stream or sys.stdout),  # type: ignore[arg-type]  # it writes and flushes, no more
        processors=[structlog.processors.JSONRenderer(ensure_ascii=True, default=str)],
    )


def _bounded(value: object) -> str:
    """A fact or a consumer's id comes from a policy, which may not have heard that it is to be text."""
    text = str(value)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."

"""Bodies that are one record behind the other: events (HTML Living Standard §9.2), or lines that are a JSON value each.

Pieces end anywhere, in the middle of a character too, so everything is bytes until a record is whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple, Self

# What is kept of a record that has not ended: a longer one passes as it is, to its end.
LONGEST_RECORD: Final = 256 * 1024
EVENT_STREAM: Final = "text/event-stream"
LINES: Final = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"})
LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# A line end and an empty line. A CR at the end of what is there may yet be followed by its LF.
EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|\Z))")
NDJSON_END: Final = re.compile(rb"\n")
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
DATA: Final = b"data"
TYPE: Final = b"event"
MESSAGE: Final = b"message"  # the type of an event that names none
ALONE: Final = b"data: "  # how an event of one line begins, which ends with that and an empty one
LINES_ALONE: Final = 2


class Record(NamedTuple):
    """With its end. One that is not `whole` is a part of one that was too long to be kept."""

    wire: bytes
    whole: bool = True


class Event(NamedTuple):
    kind: str
    data: bytes


class Framing:
    """Cuts what passes at the ends of its records."""

    def __init__(self, end: re.Pattern[bytes], *, of_events: bool) -> None:
        self._end = end
        self.of_events = of_events
        self._kept = b""
        self._passing = False  # the record that is too long to be kept

    @classmethod
    def of(cls, media_type: str) -> Self | None:
        """None for a body that is no row of records."""
        if media_type == EVENT_STREAM:
            return cls(EVENT_END, of_events=True)
        return cls(NDJSON_END, of_events=False) if media_type in LINES else None

    def cut(self, piece: bytes) -> Iterator[Record]:
        held, self._kept = self._kept + piece, b""
        at = 0
        for found in self._end.finditer(held):
            record, at = held[at : found.end()], found.end()
            whole, self._passing = not self._passing, False
            yield Record(record, whole)
        rest = held[at:]
        if len(rest) > LONGEST_RECORD:
            self._passing = True
        if self._passing:
            # All but what may be the beginning of the end.
            yield Record(rest[:-3], whole=False)
            rest = rest[-3:]
        self._kept = rest

    def rest(self) -> Record:
        """What never ended: a line is one without its end, an event is dropped by every reader (§9.2.6), unless a lone
        CR at its very end has ended it."""
        rest, self._kept = self._kept, b""
        whole = not self.of_events or rest.endswith((b"\r\r", b"\n\r"))
        return Record(rest, whole and bool(rest) and not self._passing)


def field_of(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def event_in(record: bytes) -> Event | None:
    """None where it has no data: a comment, for one."""
    if record.startswith(ALONE) and record.count(b"\n") == LINES_ALONE and b"\r" not in record:  # as most are
        return Event(MESSAGE.decode(), record[len(ALONE) : -LINES_ALONE])
    fields = [field_of(line) for line in LINE_END.split(record.removeprefix(BYTE_ORDER_MARK))]
    data = [value for name, value in fields if name == DATA]
    if not data:
        return None
    kind = next((value for name, value in reversed(fields) if name == TYPE), MESSAGE)
    return Event(kind.decode("utf-8", "replace"), b"\n".join(data))


def spelled_event(data: str, kind: str = "") -> bytes:
    """Of data without line ends."""
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {data}\n\n".encode()

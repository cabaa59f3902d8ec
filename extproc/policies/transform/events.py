"""Answers that are edited as they pass: by event (HTML Living Standard §9.2), or by line where each is a JSON value.

Pieces end anywhere, in the middle of a character too, so everything is bytes until an event is whole. One that is not
edited passes byte by byte as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from extproc import BodyEditor, Ports, loads_strictly

from .content import spelled
from .members import Members
from .settings import EventEdits

# What is kept of an event that has not ended: a longer one passes as it is, to its end.
LONGEST_EVENT: Final = 256 * 1024
LINE_END: Final = re.compile(rb"\r\n|\n|\r")
# A line end and an empty line. A CR at the end of what is there may yet be followed by its LF.
EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?!\n|\Z))")
NDJSON_END: Final = re.compile(rb"\n")
DATA: Final = b"data"
TYPE: Final = b"event"
Seen = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Events:
    members: Members
    texts: tuple[tuple[str, str], ...]

    @staticmethod
    def of(edits: EventEdits, ports: Ports) -> Events:
        return Events(Members.of(edits.json_, ports), tuple((one.replace, one.with_) for one in edits.text))

    def edited(self, data: bytes, kind: str, seen: Seen) -> bytes | None:
        """What the data of an event becomes; None where it stays as it is."""
        made = self._members(data, kind, seen) if self.members else None
        for old, new in self.texts:
            made = (data if made is None else made).replace(old.encode(), new.encode())
        return None if made == data else made

    def _members(self, data: bytes, kind: str, seen: Seen) -> bytes | None:
        try:
            document = loads_strictly(data)
        except ValueError:
            return None
        if not isinstance(document, dict):
            return None
        self.members.edit(document, _Event(seen, kind, document), seen)
        return spelled(document)


class _Event(dict[str, object]):
    """The variables of one event, before those of the answer."""

    def __init__(self, seen: Seen, kind: str, document: object) -> None:
        super().__init__({"event.type": kind, "event.json": document})
        self._seen = seen

    def __missing__(self, name: str) -> object:
        return self._seen[name]

    def __contains__(self, name: object) -> bool:
        return name in self.keys() or name in self._seen


class _Pieces(BodyEditor):
    """Cuts what passes at the ends of its records, and edits each of them."""

    end: re.Pattern[bytes]

    def __init__(self, events: Events, seen: Seen) -> None:
        self._events = events
        self._seen = seen
        self._kept = b""
        self._passing = False  # the record that is too long to be kept

    async def feed(self, piece: bytes) -> bytes:
        return b"".join(self._cut(piece))

    async def finish(self) -> bytes:
        """A record that never ended is edited where it is one without its end: a line is, an event is dropped by every
        reader (§9.2.6) and passes as it is."""
        rest, self._kept = self._kept, b""
        return rest if self._passing or not rest else self._last(rest)

    def _cut(self, piece: bytes) -> Iterator[bytes]:
        held, self._kept = self._kept + piece, b""
        # From where an end could begin that was not whole yet.
        at = 0
        for found in self.end.finditer(held):
            record = held[at : found.end()]
            at = found.end()
            yield record if self._passing else self._record(record)
            self._passing = False
        rest = held[at:]
        if len(rest) > LONGEST_EVENT:
            self._passing = True
        if self._passing:
            # All but what may be the beginning of the end.
            yield rest[:-3]
            rest = rest[-3:]
        self._kept = rest

    def _last(self, rest: bytes) -> bytes:
        return rest

    def _record(self, record: bytes) -> bytes:
        raise NotImplementedError


class EventsEditor(_Pieces):
    end = EVENT_END

    def _last(self, rest: bytes) -> bytes:
        """With a lone CR at its very end, the last event is whole."""
        return self._record(rest) if rest.endswith((b"\r\r", b"\n\r")) else rest

    def _record(self, record: bytes) -> bytes:
        fields = [_field(line) for line in LINE_END.split(record.removeprefix(b"\xef\xbb\xbf"))]
        data = [value for name, value in fields if name == DATA]
        kind = next((value for name, value in reversed(fields) if name == TYPE), b"message")
        if not data:
            return record
        made = self._events.edited(b"\n".join(data), kind.decode("utf-8", "replace"), self._seen)
        return record if made is None else _with_data(record, made)


class LinesEditor(_Pieces):
    end = NDJSON_END

    def _last(self, rest: bytes) -> bytes:
        return self._record(rest)

    def _record(self, record: bytes) -> bytes:
        line = record.rstrip(b"\r\n")
        made = self._events.edited(line, "", self._seen) if line.strip() else None
        return record if made is None else made + record[len(line) :]


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name, value.removeprefix(b" ")


def _with_data(record: bytes, made: bytes) -> bytes:
    """The event with other data, its other fields as they are, its lines ended as its first one is."""
    found = LINE_END.search(record)
    ending = found[0] if found else b"\n"
    lines = [line for line in LINE_END.split(record) if line]
    first = next(n for n, line in enumerate(lines) if _field(line.removeprefix(b"\xef\xbb\xbf"))[0] == DATA)
    kept = [(n, line) for n, line in enumerate(lines) if n == first or _field(line)[0] != DATA]
    written = [b"data: " + part for part in made.split(b"\n")]
    told = [part for n, line in kept for part in (written if n == first else [line])]
    return ending.join([*told, b"", b""])

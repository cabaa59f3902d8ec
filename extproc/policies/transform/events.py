"""Answers that are edited as they pass: by event (HTML Living Standard §9.2), or by line where each is a JSON value.

One that is not edited passes byte by byte as it came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extproc import BodyEditor, Framing, Ports, Record, event_in, loads_strictly

from .content import spelled
from .members import Members
from .settings import EventEdits

LINE_END: Final = re.compile(rb"\r\n|\n|\r")
DATA: Final = b"data"
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


class RecordsEditor(BodyEditor):
    """Edits each record of a body that is a row of them."""

    def __init__(self, events: Events, seen: Seen, framing: Framing) -> None:
        self._events = events
        self._seen = seen
        self._framing = framing
        self._edit = self._event if framing.of_events else self._line

    async def feed(self, piece: bytes) -> bytes:
        return b"".join([self._edited(record) for record in self._framing.cut(piece)])

    async def finish(self) -> bytes:
        """A record that never ended is edited where it is one without its end."""
        return self._edited(self._framing.rest())

    def _edited(self, record: Record) -> bytes:
        return self._edit(record.wire) if record.whole else record.wire

    def _event(self, record: bytes) -> bytes:
        event = event_in(record)
        made = self._events.edited(event.data, event.kind, self._seen) if event else None
        return record if made is None else _with_data(record, made)

    def _line(self, record: bytes) -> bytes:
        line = record.rstrip(b"\r\n")
        made = self._events.edited(line, "", self._seen) if line.strip() else None
        return record if made is None else made + record[len(line) :]


def _with_data(record: bytes, made: bytes) -> bytes:
    """The event with other data, its other fields as they are, its lines ended as its first one is."""
    found = LINE_END.search(record)
    ending = found[0] if found else b"\n"
    lines = [line for line in LINE_END.split(record) if line]
    first = next(n for n, line in enumerate(lines) if _name(line.removeprefix(b"\xef\xbb\xbf")) == DATA)
    kept = [(n, line) for n, line in enumerate(lines) if n == first or _name(line) != DATA]
    written = [b"data: " + part for part in made.split(b"\n")]
    told = [part for n, line in kept for part in (written if n == first else [line])]
    return ending.join([*told, b"", b""])


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]

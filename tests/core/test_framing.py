"""Bodies cut at the ends of their records, however they arrive."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from extproc.core.framing import LONGEST_RECORD, Event, Framing, Record, event_in, spelled_event

EVENTS = "text/event-stream"
LINES = "application/x-ndjson"
RECORDS: dict[str, list[bytes]] = {
    EVENTS: [b"data: a\n\n", b": hello\r\n\r\n", b"event: x\rdata: \xc3\xa4\r\r", b"x: y\n\n", b"data: [DONE]\n\n"],
    LINES: [b'{"a":1}\n', b"\n", b'"\xc3\xa4"\r\n', b"[]\n"],
}


def cut(media_type: str, *pieces: bytes) -> list[Record]:
    framing = Framing.of(media_type)
    assert framing is not None
    records = [record for piece in pieces for record in framing.cut(piece)]
    rest = framing.rest()
    return [*records, *([rest] if rest.wire else [])]


@pytest.mark.parametrize("media_type", RECORDS)
def test_records_are_cut_at_their_ends_wherever_pieces_end(media_type: str) -> None:
    wire, chance = b"".join(RECORDS[media_type]), random.Random(7)  # noqa: S311 - the same pieces each time
    for _ in range(300):
        places = sorted(chance.randrange(len(wire) + 1) for _ in range(chance.randrange(8)))
        pieces = [wire[start:end] for start, end in pairwise([0, *places, len(wire)])]
        assert [one.wire for one in cut(media_type, *pieces)] == RECORDS[media_type]


def test_other_bodies_are_no_row_of_records() -> None:
    assert [Framing.of(one) for one in ("application/json", "text/plain", "")] == [None] * 3


def test_a_record_that_is_too_long_passes_in_parts_and_the_next_one_is_whole_again() -> None:
    long = b"data: " + b"x" * (2 * LONGEST_RECORD)
    records = cut(EVENTS, long[:LONGEST_RECORD], long[LONGEST_RECORD:], b"\n\ndata: y\n\n")
    assert b"".join(one.wire for one in records) == long + b"\n\ndata: y\n\n"
    assert [one.whole for one in records] == [*[False] * (len(records) - 1), True]
    assert max(len(one.wire) for one in records) <= len(long)


@pytest.mark.parametrize(
    ("media_type", "rest", "whole"),
    [(LINES, b'{"a":1}', True), (EVENTS, b"data: a\n", False), (EVENTS, b"data: a\r\r", True), (EVENTS, b"", False)],
)
def test_what_never_ended_is_a_record_where_its_readers_take_it_for_one(
    media_type: str, rest: bytes, whole: bool
) -> None:
    assert cut(media_type, rest) == ([Record(rest, whole)] if rest else [])


@pytest.mark.parametrize(
    ("record", "event"),
    [
        (b"data: a\n\n", Event("message", b"a")),
        (b"data:a\ndata: b\n\n", Event("message", b"a\nb")),
        (b"event: x\nid: 7\ndata: a\n\n", Event("x", b"a")),
        (b"\xef\xbb\xbfdata: a\n\n", Event("message", b"a")),
        (b"event: \xff\ndata\n\n", Event("\ufffd", b"")),
        (b": comment\n\n", None),
        (b"\n\n", None),
    ],
)
def test_an_event_is_read_as_browsers_read_it(record: bytes, event: Event | None) -> None:
    assert event_in(record) == event


def test_an_event_is_spelled_so_that_it_is_read_again() -> None:
    assert event_in(spelled_event('{"a":1}', "x")) == Event("x", b'{"a":1}')
    assert event_in(spelled_event("[DONE]")) == Event("message", b"[DONE]")

"""Decision records as lines: one each, whatever is in them, and nothing in them that may be a secret."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extproc.core.limits import Judged
from extproc.core.record import DecisionRecord, Result
from extproc.telemetry import JsonRecorder
from extproc.telemetry.records import LONGEST
from extproc.testing import FakeClock

WHOLE = DecisionRecord(
    service="ext_authz", result=Result.DENY, reason="rate_limited", route="orders", policy="limit",
    request_id="id-1", method="GET", host="shop.example", path="/orders", address="192.0.2.7", consumer="alice",
    tier="free", status=429, duration=1_234_567, detail="the limit is used up", facts={"version": "v1"},
    steps=(("limit", 1_000), ("jwt", 0)),
)  # fmt: skip
# Any code point, lone surrogates among them, and those at which some readers of lines break them.
texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\n", "\r\n", "\x85", "\u2028", "\x00", "\x1b[2J", "\ud800"]
)
records = st.builds(
    DecisionRecord,
    **{
        name: {
            "result": st.sampled_from(Result),
            "status": st.integers(),
            "duration": st.integers(0, 2**63),
            "facts": st.dictionaries(texts, texts, max_size=3),
            "judged": st.none() | st.builds(Judged, st.integers(0, 2**63), st.floats(0, 2**40)),
            "steps": st.lists(st.tuples(texts, st.integers(0, 2**63)), max_size=3).map(tuple),
        }.get(name, texts)
        for name in DecisionRecord._fields
    },
)


def written(*records: DecisionRecord) -> str:
    stream = io.StringIO()
    recorder = JsonRecorder(FakeClock(), lambda line: stream.write(line()))
    for record in records:
        recorder.record(record)
    return stream.getvalue()


def line(record: DecisionRecord) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(written(record))
    return document


@given(records)
def test_a_record_is_one_line_of_ascii_whatever_is_in_it(record: DecisionRecord) -> None:
    text = written(record)
    assert text.endswith("\n")
    assert len(text.splitlines()) == 1
    assert text.isascii()
    assert text.strip().isprintable()
    assert json.loads(text)["event"] == "decision"


def test_every_field_of_a_record_has_its_place() -> None:
    assert line(WHOLE) == {
        "event": "decision", "time": 1_790_000_000.0, "service": "ext_authz", "result": "deny",
        "reason": "rate_limited", "status": 429, "route": "orders", "policy": "limit", "request_id": "id-1",
        "method": "GET", "host": "shop.example", "path": "/orders", "address": "192.0.2.7", "consumer": "alice",
        "tier": "free", "duration_us": 1235, "facts": {"version": "v1"}, "detail": "the limit is used up",
        "steps": [{"policy": "limit", "us": 1}, {"policy": "jwt", "us": 0}],
    }  # fmt: skip


def test_what_is_empty_is_left_out() -> None:
    record = DecisionRecord("ext_proc", Result.ALLOW, "allowed")
    assert set(line(record)) == {"event", "time", "service", "result", "reason"}


def test_no_text_is_longer_than_the_bound() -> None:
    long = "x" * 1_000_000
    names = ("route", "policy", "request_id", "method", "host", "path", "address", "consumer", "tier", "detail")
    told = line(WHOLE._replace(facts={"version": long}, **dict.fromkeys(names, long)))  # type: ignore[arg-type]
    assert {len(told[name]) for name in names} == {LONGEST + len("...")}
    assert len(told["facts"]["version"]) == LONGEST + len("...")
    assert len(json.dumps(told)) < 10_000


def test_a_value_that_is_no_text_is_written_as_text() -> None:
    odd = WHOLE._replace(consumer=7, tier=None, facts={"version": 2, "at": Path("/x")})  # type: ignore[arg-type,dict-item]
    told = line(odd)
    assert (told["consumer"], told["tier"], told["facts"]) == ("7", "None", {"version": "2", "at": "/x"})


def test_a_record_has_no_room_for_a_header_a_query_or_a_body() -> None:
    assert set(DecisionRecord._fields) == {
        "service", "result", "reason", "route", "policy", "request_id", "method", "host", "path", "address",
        "consumer", "tier", "status", "duration", "detail", "facts", "steps", "judged",
    }  # fmt: skip


def test_records_are_lines_in_their_order() -> None:
    reasons = [json.loads(text)["reason"] for text in written(WHOLE, WHOLE._replace(reason="x")).splitlines()]
    assert reasons == ["rate_limited", "x"]


def test_what_happens_to_the_sidecar_itself_is_a_line_too() -> None:
    stream = io.StringIO()
    JsonRecorder(FakeClock(), lambda line: stream.write(line())).event("ready", revision="r1", routes=2)
    assert json.loads(stream.getvalue()) == {"event": "ready", "time": 1_790_000_000.0, "revision": "r1", "routes": 2}

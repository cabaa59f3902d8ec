"""`extproc versions report`: who still calls what, from decision records."""

from __future__ import annotations

import json
from pathlib import Path

from extproc.cli.version_report import made_of
from tests.cli.commands import extproc


def line(consumer: str, version: str, status: str, at: float, result: str = "allow", route: str = "users-v1") -> bytes:
    facts = {"api_version": version, "api_status": status}
    record = {"event": "decision", "time": at, "result": result, "route": route, "consumer": consumer, "facts": facts}
    return json.dumps(record).encode() + b"\n"


RECORDS = [
    line("acme", "v1", "deprecated", 1_790_000_000),
    line("acme", "v1", "deprecated", 1_790_000_060, route="orders-v1"),
    line("acme", "v1", "deprecated", 1_790_000_030, "deny"),
    line("zed", "v1", "deprecated", 1_790_000_000),
    line("", "v0", "sunset", 1_790_000_000, "deny", "old"),
    line("acme", "v2", "current", 1_790_000_000, route="users-v2"),
]
NOISE = [b'{"event": "decision", "result": "allow"}\n', b'{"event": "started"}\n', b"\n", b'{"event": "deci', b"[]\n"]


def test_calls_are_counted_by_consumer_and_version_with_when_they_were_last_seen() -> None:
    calls = made_of(RECORDS).calls
    assert [(one.version, one.consumer, one.requests, one.refused, one.last, one.routes) for one in calls] == [
        ("v0", "", 1, 1, "2026-09-21T14:13:20Z", ["old"]),
        ("v1", "acme", 3, 1, "2026-09-21T14:14:20Z", ["users-v1", "orders-v1"]),
        ("v1", "zed", 1, 0, "2026-09-21T14:13:20Z", ["users-v1"]),
    ]


def test_current_versions_are_told_where_they_are_asked_for() -> None:
    assert [one.version for one in made_of(RECORDS, every=True).calls] == ["v0", "v1", "v1", "v2"]


def test_what_is_no_record_is_counted_and_passed_over() -> None:
    made = made_of([*NOISE, *RECORDS])
    assert (len(made.calls), made.unread) == (3, 2)


def test_a_log_is_reported_for_people_and_for_programs(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"".join(RECORDS))
    said = extproc("versions", "report", "log.jsonl", folder=tmp_path)
    assert said.code == 0
    assert "v1 (deprecated)" in said.output
    assert "acme" in said.output
    told = json.loads(extproc("versions", "report", "log.jsonl", "--output", "json", folder=tmp_path).output)
    assert told["calls"][1]["consumer"] == "acme"


def test_a_log_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    ended = extproc("versions", "report", "log.jsonl", folder=tmp_path)
    assert (ended.code, ended.said) == (3, ["extproc: log.jsonl: No such file or directory"])


def test_a_log_without_old_versions_says_so(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b"")
    said = extproc("versions", "report", "log.jsonl", folder=tmp_path).output
    assert said == "nobody calls a version that is deprecated or gone\n"

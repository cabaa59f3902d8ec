"""`extproc simulate` as an operator runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import GOOD, extproc, written

STEPS = [{"policy": "authenticate", "us": 40}, {"policy": "limit", "us": 9}]
START = 1_790_000_000


def record(number: int, consumer: str = "acme", **more: object) -> str:
    """Two a second of each, as `extproc serve` writes them."""
    at = START + number * 0.25
    known = {
        "event": "decision", "time": round(at + 0.002, 3), "service": "ext_authz",
        "result": "allow", "reason": "allowed", "route": "users", "request_id": f"id-{number}",
        "method": "GET", "host": "localhost", "path": "/users/1", "address": "192.0.2.7",
        "consumer": consumer, "tier": "free", "duration_us": 60, "steps": STEPS,
        "judged": {"monotonic_ns": 5_000_000_000 + number * 250_000_000, "time": at},
    }  # fmt: skip
    return json.dumps({**known, **more}) + "\n"


def log(folder: Path) -> Path:
    lines = [record(number, ("acme", "bolt")[number % 2]) for number in range(40)]
    return written(folder, '{"event":"ready","time":1790000000.0}\n' + "".join(lines), "decisions.jsonl")


SET = ("--set", "tiers.free.rate=1/s", "--set", "tiers.free.burst=2")
TABLE = """\

 consumer   limit   of          requests   refused before   refused after   first refused
 ───────────────────────────────────────────────────────────────────────────────────────────────────
 acme       tier    tier/free         20                0               9   2026-09-21T14:13:21.500Z
 bolt       tier    tier/free         20                0               9   2026-09-21T14:13:21.750Z

40 requests from 2026-09-21T14:13:20.000Z to 2026-09-21T14:13:29.750Z, 40 before a limit; refused: before 0, after 18
"""


def stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_what_a_change_would_have_refused_is_told_by_consumer_and_limit(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("simulate", "gateway.yaml", "--traffic", log(tmp_path), *SET, folder=tmp_path)
    assert (ended.code, ended.errors) == (0, "")
    assert stripped(ended.output) == TABLE.splitlines()


def test_a_misspelt_tier_is_told_for_it_changes_nothing(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc(
        "simulate", "gateway.yaml", "--traffic", log(tmp_path), "--set", "tiers.fre.rate=1/s", folder=tmp_path
    )
    assert (ended.code, ended.said) == (0, ["the tier 'fre' is new: nobody in the log has it; did you mean free?"])


def test_the_same_log_gives_the_same_answer_byte_for_byte(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    asked = ("simulate", "gateway.yaml", "--traffic", log(tmp_path), *SET, "--output", "json")
    assert extproc(*asked, folder=tmp_path) == extproc(*asked, folder=tmp_path)


def test_as_json_the_same_is_said_for_programs(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    log(tmp_path)
    stdin = (tmp_path / "decisions.jsonl").read_bytes() + b"no record\n"
    ended = extproc("simulate", "gateway.yaml", "--traffic", "-", *SET, "-o", "json", folder=tmp_path, stdin=stdin)
    told = json.loads(ended.output)
    assert ended.code == 0
    assert ended.said == ["1 line could not be read as a record"]
    assert told["limits"][0] == {
        "consumer": "acme", "limit": "tier", "of": "tier/free", "requests": 20, "refused_before": 0, "refused_after": 9,
        "first_refused_before": None, "first_refused_after": "2026-09-21T14:13:21.500Z",
    }  # fmt: skip
    assert told["traffic"]["unreadable"] == 1
    assert (told["traffic"]["refused_before"], told["traffic"]["refused_after"]) == (0, 18)


def test_without_a_change_the_file_is_held_against_the_log(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    refused = record(0, result="deny", reason="rate_limited", policy="limit", facts={"limit": "tier"})
    ended = extproc("simulate", "gateway.yaml", "--traffic", "-", folder=tmp_path, stdin=refused.encode())
    assert ended.code == 0
    assert ended.errors == (
        "of these 1 were refused in the log, and the file as it is refuses 0: counters were in use when the log began, "
        "or it is of another file\n"
    )


def test_the_file_may_be_read_from_standard_input(tmp_path: Path) -> None:
    file = log(tmp_path)
    ended = extproc("simulate", "-", "--traffic", file, *SET, folder=tmp_path, stdin=GOOD.encode())
    assert (ended.code, ended.output.count("tier/free")) == (0, 2)


MISTAKES = [
    ("tiers.free.rate=0/s", "--set tiers.free.rate:1:1: tiers.free.rate: a rate is from 1 to"),
    ("tiers.free.pace=3", "--set tiers.free.pace:1:1: tiers.free.pace: unknown key 'pace'"),
    ("tiers.free.rate.x=3", "--set tiers.free.rate.x:1:1: tiers.free.rate.x: tiers.free.rate has no members"),
    ("routes[9].limits=[]", "--set routes[9].limits:1:1: routes[9].limits: routes has no such member"),
    ("routes.nobody.limits=[]", "--set routes.nobody.limits:1:1: routes.nobody.limits: routes has no such member"),
    ("routes.users.upstream=user", "--set routes.users.upstream:1:1: routes[0].upstream: there is no upstream 'user'"),
    ("consumers.acme.rate=x", "--set consumers.acme.rate:1:1: consumers.acme.rate: "),
    ("tiers.free.rate=${NOWHERE}", "--set tiers.free.rate:1:1: tiers.free.rate: the environment variable NOWHERE"),
    ("tiers.free.rate=[", "--set tiers.free.rate:1:1: tiers.free.rate: not YAML"),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES)
def test_a_change_is_checked_as_the_file_is(change: str, said: str, tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("simulate", "gateway.yaml", "--traffic", log(tmp_path), "--set", change, folder=tmp_path)
    assert (ended.code, ended.output) == (1, "")
    assert ended.said[0].startswith(said)
    assert ended.said[-1].endswith("nothing was started")


def test_a_log_that_is_not_there_is_3(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    ended = extproc("simulate", "gateway.yaml", "--traffic", "nowhere.jsonl", folder=tmp_path)
    assert (ended.code, ended.said) == (3, ["extproc: nowhere.jsonl: No such file or directory"])

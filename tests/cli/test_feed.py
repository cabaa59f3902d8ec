"""What `extproc up` shows: a line per decision, and lines to paste."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any, Final

import pytest
from rich.console import Console

from extproc.app.demo import Credentials
from extproc.app.local import Running
from extproc.app.project import read_project
from extproc.cli.feed import ConsoleReporter, decision_line, examples
from tests.cli.commands import GOOD

RECORD: Final[dict[str, Any]] = {
    "event": "decision",
    "result": "allow",
    "reason": "allowed",
    "service": "ext_authz",
    "route": "users-v2",
    "method": "GET",
    "path": "/api/v2/users",
    "consumer": "acme",
    "tier": "free",
    "duration_us": 412,
}
LINES: Final[list[tuple[dict[str, Any], str]]] = [
    ({}, "✔ ext_authz  users-v2  GET /api/v2/users  acme (free)  0.41 ms"),
    ({"tier": ""}, "✔ ext_authz  users-v2  GET /api/v2/users  acme ()  0.41 ms"),
    ({"consumer": ""}, "✔ ext_authz  users-v2  GET /api/v2/users  anonymous  0.41 ms"),
    (
        {"result": "deny", "status": 429, "reason": "rate_limited", "facts": {"limit": "tier"}},
        "✘ 429  ext_authz  users-v2  GET /api/v2/users  acme (free)  rate_limited  limit=tier  0.41 ms",
    ),
    (
        {"result": "error", "status": 500, "reason": "policy_failed", "detail": "policy 'x' raised"},
        "! 500  ext_authz  users-v2  GET /api/v2/users  acme (free)  policy_failed  0.41 ms  policy 'x' raised",
    ),
    (
        {"facts": {"version": "v2", "model": "recommend"}},
        "✔ ext_authz  users-v2  GET /api/v2/users  acme (free)  version=v2  model=recommend  0.41 ms",
    ),
    ({"result": "new"}, "? ext_authz  users-v2  GET /api/v2/users  acme (free)  0.41 ms"),
    ({"path": "/[red]x[/red]"}, "✔ ext_authz  users-v2  GET /[red]x[/red]  acme (free)  0.41 ms"),
]
CREDENTIALS: Final = Credentials("xpk_free", "xpk_premium", "free.jwt", "premium.jwt")


def running(credentials: Credentials | None) -> Running:
    plan = read_project(Path("gateway.yaml"), {}, GOOD).plan
    return Running(
        plan, "http://127.0.0.1:8080", "http://127.0.0.1:9900", "admin-secret", "http://127.0.0.1:9901", credentials
    )


def shown(credentials: Credentials | None) -> str:
    file = io.StringIO()
    ConsoleReporter(demo=True, console=Console(file=file, highlight=False, soft_wrap=True)).ready(running(credentials))
    return file.getvalue()


@pytest.mark.parametrize(("changes", "line"), LINES)
def test_a_decision_is_one_line(changes: dict[str, Any], line: str) -> None:
    assert decision_line(RECORD | changes).plain == line


def test_a_decision_without_anything_is_still_a_line() -> None:
    assert decision_line({}).plain == "? anonymous  0.00 ms"


def test_examples_are_for_the_addresses_and_keys_that_are_there() -> None:
    lines = examples(running(CREDENTIALS))
    commands = [line for line in lines if not line.startswith("#")]
    assert len(commands) == len(lines) - len(commands)
    assert all("http://127.0.0.1:8080/" in line for line in commands)
    assert [expected for line in lines for expected in re.findall(r"^# (\d{3})", line)] == ["401", "200", "429", "403"]
    assert {key for line in lines for key in re.findall(r"xpk_\w+", line)} == {"xpk_free", "xpk_premium"}


def test_there_is_nothing_to_paste_without_credentials() -> None:
    assert examples(running(None)) == []
    assert "Try" not in shown(None)


def test_where_everything_is_is_shown_without_the_admin_token() -> None:
    text = shown(CREDENTIALS)
    for line in ("gateway       http://127.0.0.1:8080", "sidecar admin http://127.0.0.1:9900"):
        assert line in text
    assert "Envoy admin   http://127.0.0.1:9901" in text
    assert "admin-secret" not in text


def test_a_pipe_gets_plain_text() -> None:
    assert "\x1b" not in shown(CREDENTIALS)

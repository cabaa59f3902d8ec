"""Rollouts over the admin address: for the bearer of the admin token, and in sentences that quote nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from extproc.admin.application import application
from extproc.admin.rollouts import MAX_BODY
from extproc.app.rollout_table import MovingShares, RolloutTable
from extproc.app.rollouts import Rollouts
from extproc.core.evidence import points
from extproc.stores.rollout_file import RolloutFile
from extproc.testing import FakeClock
from tests.admin.test_application import TOKEN, Facts
from tests.app.test_rollouts import WELL, FakeMeasuring, FakeWitness
from tests.core.rollouts import RULES
from tests.stores.key_stores import FakeEvents

BEARER: Final = f"Bearer {TOKEN}".encode()


class Answer(NamedTuple):
    status: int
    body: Any


class Admin:
    def __init__(self, file: Path | None, witness: FakeWitness | None = None) -> None:
        clock, events, measuring = FakeClock(), FakeEvents(), FakeMeasuring()
        self.rollouts: Rollouts | None = None
        if file is not None:
            table = RolloutTable({"recommend": RULES}, MovingShares(), RolloutFile(file), clock, events, measuring)
            self.rollouts = Rollouts(table, witness or FakeWitness(WELL), events, measuring)
        desk = self.rollouts.desk if self.rollouts else None
        self.app = application(Facts(), TOKEN, None, events, rollouts=desk)

    async def ask(
        self, method: str, path: str, body: object = None, query: str = "", authorization: bytes | None = BEARER
    ) -> Answer:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
            "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "server": ("::1", 9900),
            "headers": [(b"authorization", authorization)] if authorization is not None else [],
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], json.loads(content))


@pytest.fixture
async def admin(tmp_path: Path) -> Admin:
    made = Admin(tmp_path / "rollouts.json")
    assert made.rollouts is not None
    await made.rollouts.begin()
    return made


async def test_a_rollout_is_started_set_and_turned_back(admin: Admin) -> None:
    one = "/rollouts/recommend"
    begun = await admin.ask("POST", one, {"action": "start", "reason": "better"})
    assert (begun.status, begun.body["status"], begun.body["shares"]) == (200, "ramping", {"v1": 99, "v2": 1})
    half = await admin.ask("POST", one, {"action": "set", "shares": {"v2": 12.34}})
    assert (half.body["status"], half.body["shares"]) == ("paused", {"v1": 87.66, "v2": 12.34})
    back = await admin.ask("POST", one, {"action": "rollback", "generation": half.body["generation"]})
    assert back.body["shares"] == {"v1": 100, "v2": 0}
    listed = await admin.ask("GET", "/rollouts")
    assert [told["status"] for told in listed.body["rollouts"]] == ["rolled back"]
    told = await admin.ask("GET", f"{one}/history")
    assert [change["what"] for change in told.body["changes"]] == ["rolled back", "set", "started", "planned"]
    assert told.body["changes"][2]["reason"] == "better"


async def test_a_series_has_figures_by_version(admin: Admin) -> None:
    told = await admin.ask("GET", "/rollouts/recommend/series", query="since=10&until=20&step=10")
    assert told.body["points"][0]["versions"]["v2"]["error_rate"] == 0.01


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/rollouts"),
        ("GET", "/rollouts/recommend"),
        ("POST", "/rollouts/recommend"),
        ("GET", "/rollouts/recommend/history"),
        ("GET", "/rollouts/recommend/series"),
    ],
)
@pytest.mark.parametrize("authorization", [None, b"", b"Bearer wrong", b"Basic x"])
async def test_nobody_but_the_bearer_of_the_token_sees_or_moves_anything(
    method: str, path: str, authorization: bytes | None, admin: Admin
) -> None:
    asked = await admin.ask(method, path, {"action": "promote"}, authorization=authorization)
    assert asked.status == 401
    assert (await admin.ask("GET", "/rollouts/recommend")).body["shares"] == {"v1": 100, "v2": 0}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "no JSON"),
        ({}, 400, "action"),
        ({"action": "explode"}, 400, "action"),
        ({"action": "start", "secret": "hunter2"}, 400, "permitted"),
        ({"action": "set"}, 400, "shares are what set sets"),
        ({"action": "start", "shares": {"v2": 1}}, 400, "shares are what set sets"),
        ({"action": "set", "shares": {"v2": 101}}, 400, "from 0 to 100"),
        ({"action": "set", "shares": {"v2": 0.001}}, 400, "from 0 to 100"),
        ({"action": "set", "shares": {"v2": -1}}, 400, "from 0 to 100"),
        (b'{"action": "set", "shares": {"v2": NaN}}', 400, ""),
        (b'{"action": "set", "shares": {"v2": 1e999}}', 400, ""),
        ({"action": "start", "reason": "x" * 501}, 400, "reason"),
        ({"action": "start", "reason": "\x1b[2J"}, 400, "one line"),
        ({"action": "set", "shares": {"hunter2": 1}}, 409, "the versions v1, v2"),
        ({"action": "pause"}, 409, "under way"),
        ({"action": "promote", "generation": 7}, 409, "somebody changed it"),
        (b"x" * (MAX_BODY + 1), 413, "at most"),
    ],
)
async def test_what_makes_no_sense_is_told_and_changes_nothing(
    body: object, status: int, said: str, admin: Admin
) -> None:
    asked = await admin.ask("POST", "/rollouts/recommend", body)
    assert asked.status == status
    assert said in asked.body["detail"]
    assert "hunter2" not in json.dumps(asked.body)
    assert (await admin.ask("GET", "/rollouts/recommend")).body["generation"] == 1


@pytest.mark.parametrize(
    "query",
    [
        *("", "since=1&until=2", "since=a&until=2&step=1", "since=0&until=9999999&step=1"),
        *("since=2&until=1&step=1", "since=0&until=1&step=0", "since=-1&until=1&step=1"),
    ],
)
async def test_a_series_without_bounds_is_refused(query: str, tmp_path: Path) -> None:
    class Strict(FakeWitness):
        async def series(self, model: str, since: float, until: float, step: float) -> Any:
            return [(begin, {}) for begin, _ in points(since, until, step)]

    admin = Admin(tmp_path / "r.json", Strict(WELL))
    assert (await admin.ask("GET", "/rollouts/recommend/series", query=query)).status == 400


async def test_a_model_that_is_not_there_is_404(admin: Admin) -> None:
    assert (await admin.ask("GET", "/rollouts/hunter2")).status == 404
    assert (await admin.ask("POST", "/rollouts/hunter2", {"action": "start"})).status == 404


@pytest.mark.parametrize("path", ["/rollouts", "/rollouts/recommend", "/rollouts/recommend/history"])
async def test_where_none_are_kept_it_is_said_what_to_write(path: str) -> None:
    asked = await Admin(None).ask("GET", path)
    assert (asked.status, asked.body["reason"]) == (409, "no_rollouts")

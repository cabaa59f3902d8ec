"""Asking for parts and answering from them: at the same time, in time, within bounds, and never less without a word."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.core.aggregating import Aggregator
from extproc.core.decision import LocalReply
from extproc.core.errors import Overloaded
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.own_answers import OwnAnswer, OwnStream
from extproc.core.specs import AggregateSpec, Lines, PartSpec
from extproc.testing import FakeClock, fake_ports
from tests.core.part_answers import Given, Upstreams

PLAIN = {"accept-encoding": "identity"}
ACME = Consumer("acme", "free", ("orders:read",))
PROFILE = PartSpec("profile", "users", "/users/{consumer.id}", timeout=3.0)
ORDERS = PartSpec("orders", "orders", "/orders?user={consumer.id}", timeout=3.0)
PICKS = PartSpec("picks", "recommend", "/recommend", optional=True, timeout=0.3)
HOME = AggregateSpec("home", (PROFILE, ORDERS, PICKS), marker="_partial", deadline=3.0)


def asking(query: str = "", headers: dict[str, str] | None = None, body: bytes | None = None) -> Request:
    fields = {"x-request-id": "id-1", **(headers or {})}
    return Request("GET", "/home", "shop.example", query, headers=Headers.of(fields), body=body)


class Asked:
    """What came of one request, and what was asked for it."""

    def __init__(self, spec: AggregateSpec, given: dict[str, Given], request: Request, **upstreams: Any) -> None:
        self.clock = FakeClock()
        self.upstreams = Upstreams(given, self.clock, **upstreams)
        ports = replace(fake_ports(clock=self.clock), upstreams=self.upstreams)
        started = self.clock.ticks
        self.reply = asyncio.run(self._reply(Aggregator.of(spec, ports), request))
        self.took = (self.clock.ticks - started) / 1e9

    async def _reply(self, aggregator: Aggregator, request: Request) -> LocalReply | OwnAnswer | OwnStream:
        reply = await aggregator.answer(request, ACME)
        self.lines = [piece async for piece in reply.pieces] if isinstance(reply, OwnStream) else []
        return reply

    @property
    def answer(self) -> OwnAnswer:
        assert isinstance(self.reply, OwnAnswer), self.reply
        return self.reply

    @property
    def refused(self) -> tuple[int, str, str, str]:
        """Status, reason, part and why, which body and facts tell alike."""
        assert isinstance(self.reply, LocalReply), self.reply
        problem = json.loads(self.reply.body)
        assert self.reply.facts == {"part": problem["part"], "why": problem["why"]}
        assert (problem["status"], problem["reason"]) == (self.reply.status, self.reply.reason)
        return self.reply.status, self.reply.reason, problem["part"], problem["why"]


def ask(spec: AggregateSpec = HOME, request: Request | None = None, /, **given: Given) -> Asked:
    return Asked(spec, given, request or asking())


def of(*parts: PartSpec, **settings: Any) -> AggregateSpec:
    return replace(HOME, parts=parts, **settings)


def test_parts_that_wait_for_none_are_asked_at_the_same_time() -> None:
    asked = ask(profile=Given(b'{"n": 1}', delay=0.2), orders=Given(b"[1, 2]", delay=0.1), picks=Given(delay=0.05))
    assert asked.answer.body == b'{"profile":{"n": 1},"orders":[1, 2],"picks":{}}'
    assert dict(asked.answer.headers) == {"content-type": "application/json", "cache-control": "no-store"}
    assert (asked.upstreams.most, asked.took) == (3, 0.2)
    assert asked.answer.facts == {}


def test_each_part_is_asked_for_what_its_template_says_with_the_callers_trace_and_host() -> None:
    trace = {"traceparent": "00-1", "tracestate": "a=b", "b3": "0", "x-forwarded-for": "192.0.2.7", "baggage": "k=v"}
    asked = ask(HOME, asking(headers={**trace, "authorization": "Bearer secret", "cookie": "a=b", "x-other": "1"}))
    call = asked.upstreams.calls["orders"]
    assert (call.method, call.url, call.timeout, call.max_bytes) == ("GET", "/orders?user=acme", 3.0, 1024 * 1024)
    expected = {"host": "shop.example", "x-request-id": "id-1", "accept": "application/json", **PLAIN, **trace}
    assert dict(call.headers) == expected
    assert asked.upstreams.consumers == [ACME] * 3


def test_the_clients_credential_goes_on_where_upstreams_are_to_get_it() -> None:
    asked = ask(replace(HOME, forwarded=("authorization",)), asking(headers={"authorization": "Bearer own"}))
    assert dict(asked.upstreams.calls["orders"].headers)["authorization"] == "Bearer own"


def test_headers_and_a_body_are_what_their_expressions_give() -> None:
    part = PartSpec(
        "made", "u", "/", "POST", {"x-id": "consumer.id", "accept": "'text/plain'"},
        "{'q': request.params.q, 'n': 1.5}",
    )  # fmt: skip
    call = ask(of(part), asking("q=a%20b&q=c")).upstreams.calls["made"]
    assert (call.method, call.body) == ("POST", b'{"n":1.5,"q":"a b"}')
    fields = dict(call.headers)
    assert (fields["x-id"], fields["accept"], fields["content-type"]) == ("acme", "text/plain", "application/json")


def test_a_part_that_reads_anothers_answer_is_asked_when_it_is_there() -> None:
    team = PartSpec("team", "teams", "/teams/{parts.profile.team}?n={size(parts.orders)}")
    asked = ask(of(PROFILE, ORDERS, team), profile=Given(b'{"team": "blue"}', delay=0.1), orders=Given(b"[1]"))
    assert asked.upstreams.calls["team"].url == "/teams/blue?n=1"
    assert asked.upstreams.begun == ["profile", "orders", "team"]
    assert asked.took == pytest.approx(0.11)


def test_a_part_whose_condition_does_not_hold_is_not_asked_and_not_missed() -> None:
    asked = ask(of(PROFILE, replace(ORDERS, when="'admin' in consumer.scopes")))
    assert asked.answer.body == b'{"profile":{}}'
    assert asked.upstreams.begun == ["profile"]
    kept = ask(of(PROFILE, replace(ORDERS, when="'admin' in consumer.scopes", default="[]")))
    assert kept.answer.body == b'{"profile":{},"orders":[]}'


SLOW, BROKEN = Given(delay=9.0), Given(status=500)
LOST = [
    (SLOW, "timeout", 504, "part_timeout"),
    (Given(status=504), "timeout", 504, "part_timeout"),
    (BROKEN, "status_500", 502, "part_failed"),
    (Given(status=404), "status_404", 502, "part_failed"),
    (Given(status=302), "status_302", 502, "part_failed"),
    (Given(b"x" * (1024 * 1024 + 1)), "too_large", 502, "part_failed"),
    (Given(b"<html>"), "not_json", 502, "part_failed"),
    (Given(b'{"a":1,"a":2}'), "not_json", 502, "part_failed"),
    (Given(b"[" * 70 + b"]" * 70), "not_json", 502, "part_failed"),
    (Given(b'"\xff"'), "not_json", 502, "part_failed"),
    (Given(away=True), "unreachable", 502, "part_failed"),
    (Given(ended=True), "unreachable", 502, "part_failed"),
]
each_loss = pytest.mark.parametrize(("given", "why", "status", "reason"), LOST, ids=[why for _, why, _, _ in LOST])


@each_loss
def test_without_a_part_that_is_needed_there_is_no_answer(given: Given, why: str, status: int, reason: str) -> None:
    assert ask(orders=given).refused == (status, reason, "orders", why)


@each_loss
def test_an_optional_part_that_is_missing_is_named_with_the_reason(
    given: Given, why: str, status: int, reason: str
) -> None:
    answer = ask(picks=given).answer
    assert answer.body == b'{"profile":{},"orders":{},"_partial":{"picks":"%s"}}' % why.encode()
    assert dict(answer.headers)["x-aggregate-partial"] == "picks"
    assert answer.facts == {"missing": f"picks: {why}"}


def test_a_default_stands_where_a_part_is_missing_and_says_so() -> None:
    answer = ask(of(PROFILE, replace(PICKS, default='["book"]')), picks=BROKEN).answer
    assert answer.body == b'{"profile":{},"picks":["book"],"_partial":{"picks":"status_500"}}'


def test_a_status_that_is_accepted_is_an_answer() -> None:
    asked = ask(of(replace(ORDERS, accepts=frozenset({404, 504}))), orders=Given(b'{"none": true}', 404))
    assert asked.answer.body == b'{"orders":{"none": true}}'


def test_an_answer_without_a_body_is_null() -> None:
    assert ask(of(ORDERS), orders=Given(b" \n", 204)).answer.body == b'{"orders":null}'


def test_when_a_needed_part_fails_nobody_waits_for_the_rest() -> None:
    asked = ask(profile=Given(delay=2.0), orders=Given(status=500, delay=0.1), picks=Given(delay=0.2))
    assert asked.refused[2:] == ("orders", "status_500")
    assert asked.took == pytest.approx(0.1)
    assert sorted(asked.upstreams.ended) == ["picks", "profile"]
    assert asked.upstreams.entered_now == 0


def test_one_deadline_holds_for_parts_that_wait_for_each_other() -> None:
    """Each has three seconds of its own; together they have three as well."""
    second = PartSpec("second", "u", "/{parts.first.n}", timeout=3.0)
    third = PartSpec("third", "u", "/{parts.second.n}", timeout=3.0, optional=True)
    given = {"first": Given(b'{"n": 1}', delay=2.0), "second": Given(b'{"n": 2}', delay=0.9), "third": Given(delay=1.0)}
    asked = ask(of(PartSpec("first", "u", "/", timeout=3.0), second, third), **given)
    assert json.loads(asked.answer.body)["_partial"] == {"third": "timeout"}
    assert asked.took == pytest.approx(3.0)
    assert asked.upstreams.calls["third"].timeout == pytest.approx(0.1)


def test_what_has_no_time_left_is_not_asked() -> None:
    late = PartSpec("late", "u", "/?n={size(parts.slow)}", optional=True)
    asked = ask(of(PartSpec("slow", "u", "/", timeout=9.0, optional=True, default="[]"), late), slow=SLOW)
    assert json.loads(asked.answer.body)["_partial"] == {"slow": "timeout", "late": "timeout"}
    assert asked.upstreams.begun == ["slow"]


UNFIT = [("/x/{request.params.id}", "id=..%2fadmin"), ("/x/{request.params.id}", "id="), ("/x/{request.json}", "")]


@pytest.mark.parametrize(("path", "query"), UNFIT)
def test_a_value_of_the_request_that_does_not_fit_is_the_requests_fault(path: str, query: str) -> None:
    asked = ask(of(PartSpec("a", "u", path), reads_body="json" in path), asking(query))
    assert asked.refused == (400, "unfit_request", "a", "unfit_value")
    assert asked.upstreams.begun == []


def test_a_value_of_another_part_that_does_not_fit_is_not() -> None:
    second = PartSpec("second", "u", "/x/{parts.first}")
    assert ask(of(PartSpec("first", "u", "/"), second), first=Given(b'"../y"')).refused == (
        502, "part_failed", "second", "unfit_value",
    )  # fmt: skip


@pytest.mark.parametrize("value", ["a\\r\\nx-admin: 1", "a\\u0000b"])
def test_a_header_that_would_be_two_is_not_sent(value: str) -> None:
    asked = ask(of(PartSpec("a", "u", "/", headers={"x-a": f'"{value}"'})))
    assert asked.refused == (400, "unfit_request", "a", "expression_failed")
    assert asked.upstreams.begun == []


def test_what_a_client_left_out_is_its_fault() -> None:
    assert ask(of(PartSpec("a", "u", "/?q={request.params.q}"))).refused[:2] == (400, "unfit_request")


def test_parts_are_too_large_together_before_they_are_kept() -> None:
    """The first that come are kept; none of three is too large for itself."""
    large = Given(b'"' + b"x" * 400 + b'"')
    spec = of(PROFILE, ORDERS, PICKS, limit=1000)
    asked = ask(spec, profile=large, orders=replace(large, delay=0.02), picks=replace(large, delay=0.03))
    assert json.loads(asked.answer.body)["_partial"] == {"picks": "too_large"}
    assert len(asked.answer.body) < 1000
    refused = ask(replace(spec, limit=500), profile=large, orders=large).refused
    assert refused == (502, "part_failed", "orders", "too_large")


def test_an_answer_that_an_expression_makes_too_large_is_refused() -> None:
    reply = ask(of(PROFILE, body="[parts.profile, parts.profile, parts.profile]", limit=1000),
                profile=Given(b'"' + b"x" * 400 + b'"')).reply  # fmt: skip
    assert isinstance(reply, LocalReply)
    assert (reply.status, reply.reason) == (502, "answer_too_large")


def test_the_answer_is_what_its_expression_makes_of_the_parts() -> None:
    body = "{'name': parts.profile.name, 'count': size(parts.orders), 'picks': has(parts.picks) ? parts.picks : []}"
    given = {"profile": Given(b'{"name": "Ada", "secret": 1}'), "orders": Given(b"[1, 2]"), "picks": SLOW}
    answer = ask(replace(HOME, body=body, lines=Lines.NEVER), **given).answer
    assert json.loads(answer.body) == {"name": "Ada", "count": 2, "picks": [], "_partial": {"picks": "timeout"}}


def test_a_document_of_the_request_is_read_strictly_and_seen_by_the_parts() -> None:
    spec = of(PartSpec("a", "u", "/", "POST", body="{'q': request.json.q}"), reads_body=True)
    assert ask(spec, asking(body=b'{"q": [1]}')).upstreams.calls["a"].body == b'{"q":[1]}'
    for body, headers, status in ((b'{"q":1,"q":2}', {}, 400), (b"{}", {"content-encoding": "gzip"}, 415)):
        reply = ask(spec, asking(body=body, headers=headers)).reply
        assert isinstance(reply, LocalReply)
        assert reply.status == status


ACCEPTED = [
    ("application/x-ndjson", True),
    ("text/html, Application/X-NDJSON ; q=0.5", True),
    ("application/x-ndjson;q=0", False),
    ("application/x-ndjson;q=0.000", False),
    ("*/*", False),
    ("application/*", False),
    ("application/json", False),
]


@pytest.mark.parametrize(("accept", "lines"), ACCEPTED)
def test_parts_come_in_lines_where_the_client_names_them(accept: str, lines: bool) -> None:
    assert isinstance(ask(HOME, asking(headers={"accept": accept})).reply, OwnStream) is lines


def test_lines_are_the_operators_to_allow_and_to_demand() -> None:
    asks = asking(headers={"accept": "application/x-ndjson"})
    assert isinstance(ask(replace(HOME, lines=Lines.NEVER), asks).reply, OwnAnswer)
    assert isinstance(ask(replace(HOME, lines=Lines.ALWAYS)).reply, OwnStream)


def test_each_part_is_a_line_as_soon_as_it_is_there_and_the_last_line_says_what_is_missing() -> None:
    spec = replace(HOME, lines=Lines.ALWAYS, said=(("deprecation", "@1"),))
    asked = ask(spec, profile=Given(delay=0.2), orders=Given(b"[\n1]", delay=0.1), picks=SLOW)
    assert [json.loads(line) for line in asked.lines] == [
        {"part": "orders", "value": [1]},
        {"part": "profile", "value": {}},
        {"done": True, "missing": {"picks": "timeout"}},
    ]
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in asked.lines)
    assert isinstance(asked.reply, OwnStream)
    assert dict(asked.reply.headers)["content-type"] == "application/x-ndjson"
    assert ("deprecation", "@1") in asked.reply.headers
    assert asked.reply.facts == {"missing": "picks: timeout"}


def test_a_default_is_a_line_that_says_so() -> None:
    asked = ask(of(replace(PICKS, default="[]"), lines=Lines.ALWAYS), picks=BROKEN)
    assert json.loads(asked.lines[0]) == {"part": "picks", "value": [], "default": True}


def test_lines_that_end_without_a_needed_part_say_which() -> None:
    asked = ask(replace(HOME, lines=Lines.ALWAYS), orders=Given(status=500, delay=0.1), picks=Given(delay=0.2))
    assert json.loads(asked.lines[-1]) == {
        "done": False,
        "missing": {"orders": "status_500"},
        "problem": {
            "status": 502, "reason": "part_failed", "detail": "the part orders: its upstream answered 500",
            "part": "orders", "why": "status_500",
        },
    }  # fmt: skip


def test_where_a_needed_part_fails_first_lines_are_refused_as_a_whole() -> None:
    asked = ask(replace(HOME, lines=Lines.ALWAYS), orders=Given(status=500, delay=0.001))
    assert asked.refused == (502, "part_failed", "orders", "status_500")
    assert asked.upstreams.entered_now == 0


def test_where_too_many_are_under_way_nothing_is_asked() -> None:
    with pytest.raises(Overloaded):
        Asked(HOME, {}, asking(), full=True)
    with pytest.raises(Overloaded):
        Asked(replace(HOME, lines=Lines.ALWAYS), {}, asking(), full=True)


@pytest.mark.parametrize("lines", [Lines.NEVER, Lines.ALWAYS])
async def test_whoever_goes_away_ends_what_is_asked(lines: Lines) -> None:
    upstreams = Upstreams({"profile": Given(delay=0.0), "orders": Given(endless=True)})
    ports = replace(fake_ports(clock=upstreams.clock), upstreams=upstreams)
    answer = Aggregator.of(of(PROFILE, ORDERS, lines=lines), ports).answer(asking(), ACME)
    if lines is Lines.ALWAYS:
        reply = await answer
        assert isinstance(reply, OwnStream)
        assert upstreams.entered_now == 1
        await reply.pieces.aclose()
    else:
        asked = asyncio.ensure_future(answer)
        await upstreams.hanging.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert (upstreams.entered_now, upstreams.ended[-1:]) == (0, ["orders"])
    assert asyncio.all_tasks() == {asyncio.current_task()}


@given(st.data())
def test_whatever_upstreams_do_there_is_an_answer_within_the_deadline(data: st.DataObject) -> None:
    bodies = st.sampled_from([b"1", b"{}", b"<", b"", b'"' + b"x" * 300 + b'"'])
    each = st.builds(Given, bodies, st.sampled_from([200, 204, 404, 500, 504]), st.floats(0.0, 5.0), st.booleans())
    names = [f"p{number}" for number in range(data.draw(st.integers(1, 6)))]
    parts = [
        PartSpec(name, "u", "/?x={size(parts.p0)}" if at and data.draw(st.booleans()) else "/",
                 optional=data.draw(st.booleans()), timeout=data.draw(st.floats(0.1, 5.0)), limit=400)
        for at, name in enumerate(names)
    ]  # fmt: skip
    asked = Asked(of(*parts, limit=1000), {name: data.draw(each) for name in names}, asking())
    assert asked.took <= 3.0 + 1e-6
    assert len(asked.upstreams.begun) == len(set(asked.upstreams.begun))
    if isinstance(asked.reply, LocalReply):
        assert asked.reply.refuses
        return
    document = json.loads(asked.answer.body)
    missing = document.pop("_partial", {})
    assert not document.keys() & missing.keys()
    assert document.keys() | missing.keys() == set(names)
    assert len(asked.answer.body) <= 1000

"""docs/aggregation.md: its examples load, an answer looks as it says, and it has every reason."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import Any, Final

import pytest

from extproc.core.aggregating import Aggregator
from extproc.core.decision import LocalReply
from extproc.core.headers import Headers
from extproc.core.message import Consumer, Request
from extproc.core.missing_parts import SENTENCES
from extproc.core.own_answers import OwnAnswer, OwnStream
from extproc.core.specs import AggregateSpec
from extproc.plan.compile import compile_plan
from extproc.plan.model import ToAggregate
from extproc.plugins.registry import built_in
from extproc.testing import fake_ports
from tests.config.gateways import load_text
from tests.core.part_answers import Given, Upstreams
from tests.docs.blocks import ROOT, blocks

PAGE: Final = ROOT / "docs" / "aggregation.md"
WRITTEN: Final = [block.text for block in blocks(PAGE) if block.language == "yaml"]
SHOWN: Final = [block.text for block in blocks(PAGE) if block.language == "json"]
REST: Final = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
authentication: {partners: {api_key: {}}}
sidecar: {stores: {keys: "redis://127.0.0.1:1/0"}}
defaults: {authenticate: partners}
upstreams:
  users: {endpoints: ["127.0.0.1:1"]}
  orders: {endpoints: ["127.0.0.1:2"]}
  recommend: {endpoints: ["127.0.0.1:3"]}
"""
ACME: Final = Consumer("acme", "free")
WHOLE: Final = {
    "profile": Given(b'{"id": "acme"}', delay=0.02), "orders": Given(b"[]"), "picks": Given(b'["book", "pen"]'),
}  # fmt: skip
LATE: Final = {**WHOLE, "picks": Given(delay=1.0)}
BROKEN: Final = {**WHOLE, "orders": Given(status=500)}


def spec_of(written: str) -> AggregateSpec:
    (route,) = compile_plan(load_text(REST + written, {}), built_in().kinds).routes
    assert isinstance(route.target, ToAggregate)
    return route.target.spec


@pytest.mark.parametrize("written", WRITTEN)
def test_an_example_is_part_of_a_gateway_whose_parts_can_be_asked(written: str) -> None:
    given = {**WHOLE, "profile": Given(b'{"id": "acme", "name": "Ada", "team": "blue"}')}
    answered = answer(spec_of(written), given, "?q=1")
    assert isinstance(answered, OwnAnswer)


def answer(spec: AggregateSpec, given: dict[str, Given], query: str = "", accept: str = "*/*") -> Any:
    upstreams = Upstreams(given)
    ports = replace(fake_ports(clock=upstreams.clock), upstreams=upstreams)
    request = Request("GET", "/", query=query.removeprefix("?"), headers=Headers.of({"accept": accept}))

    async def answered() -> Any:
        reply = await Aggregator.of(spec, ports).answer(request, ACME)
        return [piece async for piece in reply.pieces] if isinstance(reply, OwnStream) else reply

    return asyncio.run(answered())


def test_the_page_shows_the_answers_that_its_first_example_gives() -> None:
    spec = spec_of(WRITTEN[0])
    whole, partial, problem, lines = SHOWN
    assert json.loads(answer(spec, WHOLE).body) == json.loads(whole)
    late = answer(spec, LATE)
    assert json.loads(late.body) == json.loads(partial)
    assert f"`{'x-aggregate-partial'}: {dict(late.headers)['x-aggregate-partial']}`" in PAGE.read_text("utf-8")
    refused = answer(spec, BROKEN)
    assert isinstance(refused, LocalReply)
    assert json.loads(refused.body) == json.loads(problem)
    streamed = answer(spec, LATE, accept="application/x-ndjson")
    assert [json.loads(line) for line in streamed] == [json.loads(line) for line in lines.splitlines()]


def test_every_reason_is_told() -> None:
    told = set(re.findall(r"^\| `(\w+)`(?:, …)? \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert told == {*SENTENCES, "status_500"}


def test_what_the_composed_example_makes_is_what_it_names_and_nothing_more() -> None:
    given = {"profile": Given(b'{"name": "Ada", "secret": 1}'), "picks": Given(delay=1.0)}
    document = json.loads(answer(spec_of(WRITTEN[2]), given).body)
    assert document == {"name": "Ada", "first": "nothing", "incomplete": {"picks": "timeout"}}

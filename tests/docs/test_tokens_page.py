"""docs/tokens.md: its examples load, its styles are those of the code, and a stream is cut as it shows."""

from __future__ import annotations

import json
import re
from textwrap import indent

import yaml

from extproc.core.endings import Spent, ending_of
from extproc.core.framing import spelled_event
from extproc.core.metering import BYTES_PER_TOKEN, STYLES, Meter, Style
from extproc.core.processing import MAX_SHOWN
from extproc.core.reservation import STEP
from extproc.plan.compile import compile_plan
from extproc.plan.describe import describe
from extproc.plan.model import Plan
from extproc.plugins.registry import built_in
from extproc.services.afterwards import LONGEST, MOST
from tests.config.gateways import load_text
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "tokens.md"
TEXT = PAGE.read_text("utf-8")
WRITTEN = [block.text for block in blocks(PAGE) if block.language == "yaml"]
SHOWN = [block.text for block in blocks(PAGE) if block.language == "text"]
REST = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
authentication: {partners: {api_key: {}}}
sidecar: {stores: {keys: "file:keys.yaml"}}
upstreams: {models: {endpoints: ["127.0.0.1:1"]}}
"""


def planned(text: str) -> Plan:
    return compile_plan(load_text(REST + text, {}), built_in().kinds)


def of_a_route(written: str) -> str:
    return WRITTEN[0].replace("    meter: openai\n", indent(written, "    "))


def test_every_example_is_part_of_a_gateway_that_loads() -> None:
    assert len(WRITTEN) == 3
    for written in (WRITTEN[0], *map(of_a_route, WRITTEN[1:])):
        (route,) = planned(written).routes
        assert route.placement.edits_body


def test_a_route_costs_what_the_page_says() -> None:
    (route,) = planned(WRITTEN[0]).routes
    assert SHOWN[0] == f"{route.name}  sidecar calls: {', '.join(route.placement.filters)}\n"
    (told,) = describe(planned(WRITTEN[0])).routes
    assert [one.rule for one in told.policies if one.policy == "meter"] == ["as openai says, else a token for 4 bytes"]


def test_a_stream_is_cut_as_the_page_shows() -> None:
    ending = ending_of(Meter(Style.OPENAI, (), ()))
    chunk = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "usage": None}
    ending.hear({**chunk, "choices": [{"index": 0, "delta": {"content": "Hello"}}]})
    written = ending.written({**chunk, "choices": []}, Spent(2, 8))
    assert b"".join(spelled_event(one.data, one.kind) for one in written).decode() == SHOWN[1] + "\n"


def test_the_table_of_styles_is_that_of_the_code() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", TEXT, re.MULTILINE))
    assert set(rows) == {style.value for style in Style}
    for style, words in STYLES.items():
        for place in (*words.usage, *words.text):
            leaf = place.partition("|")[0].rpartition(".")[2]
            known = leaf in rows[style.value] or (style is Style.ANTHROPIC and leaf.startswith("cache_"))
            assert known, (style, place)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert (BYTES_PER_TOKEN, STEP, LONGEST, MOST, MAX_SHOWN) == (4, 64, 5.0, 10_000, 3 * 1024 * 1024)
    for said in ("four bytes", "64 tokens at most", "five seconds", "ten thousand at once", "up to 3 MiB"):
        assert said in TEXT.replace("\n", " ")


def test_what_a_cut_is_ended_with_is_a_line_of_json() -> None:
    ending = yaml.safe_load(WRITTEN[1])["meter"]["ending"]
    assert [json.loads(one) for one in ending] == [{"stopped": "budget"}]

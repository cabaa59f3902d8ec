"""docs/rollouts.md: its examples load, and it has every status and names no file that is not there."""

from __future__ import annotations

import re

import pytest

from extproc.core.rollout import Status, What
from tests.config.gateways import load_text
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "rollouts.md"
REST = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
upstreams: {recommend-v1: {endpoints: ["127.0.0.1:1"]}, recommend-v2: {endpoints: ["127.0.0.1:2"]}}
authentication: {partners: {api_key: {}}}
routes: [{name: a, match: {path: /}, model: recommend, authenticate: partners}]
"""


@pytest.mark.parametrize("written", [block.text for block in blocks(PAGE) if block.language == "yaml"])
def test_an_example_is_part_of_a_gateway_that_loads(written: str) -> None:
    assert load_text(REST + written).config.models["recommend"].guard is not None


def test_every_status_is_explained() -> None:
    table = PAGE.read_text("utf-8").partition("| status | means |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| ([a-z ]+) \| ", table, re.MULTILINE)
    assert set(rows) == {status.value for status in Status}


def test_every_change_that_is_counted_is_named_with_the_metrics() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    (row,) = re.findall(r"^\| `change` \| (.*) \|$", page, re.MULTILINE)
    assert {what.value for what in What} == set(re.findall(r"`([a-z ]+)`", row))


def test_the_modules_that_the_page_and_its_decision_name_are_there() -> None:
    named = [
        name
        for page in (PAGE, ROOT / "docs" / "adr" / "011-always-valid-tests.md")
        for name in re.findall(r"`(tests/[\w/]+\.py)`", page.read_text("utf-8"))
    ]
    assert named
    assert [name for name in named if not (ROOT / name).is_file()] == []

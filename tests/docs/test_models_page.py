"""docs/models.md: its examples are gateways, its reasons are given, and its figures are those of the code."""

from __future__ import annotations

import re
from typing import Final

import pytest

from extproc.app.comparing import AT_ONCE, WAITING, WAITING_BYTES
from extproc.bootstrap.models import AT_ONCE as COPIES
from extproc.core.choice import Draw
from extproc.core.processing import MAX_SHOWN
from extproc.core.specs import Version
from extproc.core.strict_json import MAX_VALUES
from extproc.policies.choose import naming, picking
from tests.config.gateways import load_text
from tests.docs.blocks import ROOT, blocks

PAGE: Final = ROOT / "docs" / "models.md"
TEXT: Final = PAGE.read_text("utf-8")
WRITTEN: Final = [block.text for block in blocks(PAGE) if block.language == "yaml"]
REST: Final = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
authentication: {partners: {api_key: {}}}
tiers: {free: {rate: 1/s}, premium: {rate: 1/s}}
upstreams:
  score-v1: {endpoints: ["127.0.0.1:1"]}
  score-v2: {endpoints: ["127.0.0.1:2"]}
  score-v3: {endpoints: ["127.0.0.1:3"]}
"""


@pytest.mark.parametrize("written", WRITTEN)
def test_an_example_is_a_gateway(written: str) -> None:
    assert load_text(REST + written)


def test_every_way_of_refusing_a_name_is_told_with_its_status() -> None:
    replies = [naming.NONE_NAMED, naming.UNKNOWN, naming.UNCLEAR, naming.UNREADABLE, naming.ENCODED]
    told = re.findall(r"^\| (\d{3}) `(\w+)` \|", TEXT, re.MULTILINE)
    assert told == [(str(reply.status), reply.reason) for reply in replies]


def test_every_other_refusal_is_told() -> None:
    for reply in (picking.UNKNOWN, picking.NOT_ALLOWED, picking.ANOTHERS, picking.NONE_ALLOWED):
        assert f"(`{reply.reason}`)" in TEXT


def test_the_bounds_are_those_of_the_code() -> None:
    said = " ".join(TEXT.split())
    assert f"At most {COPIES} copies" in said
    assert f"At most {WAITING} comparisons or {WAITING_BYTES // 1024**2} MiB wait" in said
    assert (AT_ONCE, "four are made at once" in said) == (4, True)
    assert f"more than {MAX_VALUES:,} values" in said
    assert f"{MAX_SHOWN // 1024**2} MiB at most" in said


def test_as_many_move_by_way_of_a_third_version_as_it_says() -> None:
    def drawn(*weights: int) -> list[str]:
        draw = Draw("m", [Version(f"v{number}", "u", weight * 100) for number, weight in enumerate(weights)])
        return [version.name for number in range(20_000) if (version := draw.of(f"caller-{number}"))]

    moved = sum(then != now for then, now in zip(drawn(50, 30, 20), drawn(40, 30, 30), strict=True))
    assert abs(moved / 20_000 - 0.127) < 0.01
    assert "12.7 % move" in TEXT

"""docs/authorization.md: its rules load, and its table has every reason with which a rule refuses."""

from __future__ import annotations

import re
from ipaddress import ip_network
from textwrap import indent

import pytest

from extproc.core.specs import AccessRule, AuthorizeSpec
from extproc.policies.authorize import Authorize
from extproc.testing import fake_ports
from tests.config.gateways import load_text
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "authorization.md"
WRITTEN = [block.text for block in blocks(PAGE) if block.language == "yaml"]
REST = """
listeners: [{name: public, address: "0.0.0.0:8080"}]
authentication: {partners: {api_key: {}}}
tiers: {premium: {rate: 1/s}}
"""
UPSTREAM = 'upstreams: {provider: {endpoints: ["127.0.0.1:1"]}}\n'
ROUTE = "routes:\n  - name: a\n    match: {path: /}\n    upstream: provider\n    authenticate: partners\n"


@pytest.mark.parametrize("written", WRITTEN)
def test_an_example_is_part_of_a_gateway_that_loads(written: str) -> None:
    in_a_route = written.startswith("authorize:")
    text = REST + ("" if "upstreams:" in written else UPSTREAM) + ("" if in_a_route else written)
    assert load_text(text + ROUTE + (indent(written, "    ") if in_a_route else ""), {"PROVIDER_KEY": "x"})


def test_every_reason_is_told_with_the_members_that_give_it() -> None:
    network = (ip_network("10.0.0.0/8"),)
    every = AccessRule(network, network, ("a",), ("a",), ("a",), ("a",), ("a",), {"a": (1,)}, "true")
    judge = Authorize.build(AuthorizeSpec((every,)), fake_ports())
    assert isinstance(judge, Authorize)
    given = {(part.name.partition(".")[0], part.refused.reason) for part in judge.rules[0]}
    rows = re.findall(r"^\| (.+?) \| `(\w+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    told = {(member, reason) for members, reason in rows for member in re.findall(r"`(\w+)`", members)}
    assert told == given
    assert ("every rule of a list", "no_rule_matches") in rows

"""What we generate passes our own audit, and the page of rules is the rules'."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generate import AUDIT, audited
from extproc.audit.catalogue import EVERY, Kind, as_written, audit
from extproc.audit.severity import Severity
from tests.golden.conftest import REWRITE, rendered


def test_our_own_bootstraps_give_nothing_away(case: Path) -> None:
    """What is left at low is what the operator wrote: an open route, a listener without TLS or without certificates of
    clients, proxies in front."""
    source = as_written(rendered(case))
    assert source.findings == []
    assert audit(source, Kind.ENVOY, frozenset(), Severity.MEDIUM) == []
    assert {found.rule for found in audit(source, Kind.ENVOY, frozenset(), Severity.LOW)} <= {
        "EX217", "EX314", "EX714", "EX804",
    }  # fmt: skip


def test_the_tables_of_rules_are_current() -> None:
    if REWRITE:
        AUDIT.write_text(audited(AUDIT.read_text("utf-8")), "utf-8")
    assert AUDIT.read_text("utf-8") == audited(AUDIT.read_text("utf-8")), "run `make golden`, read the difference"


def test_every_rule_is_in_the_page() -> None:
    told = re.findall(r"^\| (EX\d+) \|", AUDIT.read_text("utf-8"), re.MULTILINE)
    assert told == [rule.id for rule in EVERY]


def test_a_rule_says_what_where_and_by_whom() -> None:
    for rule in EVERY:
        assert re.fullmatch(r"EX[1-8]\d\d", rule.id)
        assert rule.weakens.endswith(".")
        assert rule.mend.endswith(".")
        assert rule.reference.startswith("https://")
